// The service, asked over HTTP. What it refuses is thrown as a Problem.

const ROOT = "api/v1";

export class Problem extends Error {
  constructor(status, { detail, title, key } = {}) {
    super(detail || title || `${status}`);
    Object.assign(this, { status, key });
  }
}

// Asks whoever sits there for the token of the service, perhaps `again`; set by the page. A cookie remembers it.
export const gate = { open: async (again) => null };

async function enter(again = false) {
  const token = await gate.open(again);
  if (!token) return false;
  const options = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ token }) };
  return (await fetch(`${ROOT}/session`, options)).ok || enter(true);
}

// Addresses in answers begin with a slash.
const address = (path) => path.startsWith("/") ? path.slice(1) : `${ROOT}/${path}`;

let entering = null;  // several requests may be refused at once: one dialog

async function request(path, { method = "GET", body, more = {}, signal } = {}) {
  const isForm = body instanceof FormData;
  const sent = body === undefined || isForm ? {} : { "content-type": "application/json" };
  for (;;) {
    let answer;
    try {
      const options = { method, signal, headers: { ...sent, ...more }, body: isForm || body === undefined ? body : JSON.stringify(body) };
      answer = await fetch(address(path), options);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem(0, { detail: "offline" });
    }
    if (answer.ok) return answer;
    if (answer.status !== 401 || !await (entering ??= enter().finally(() => { entering = null; })))
      throw new Problem(answer.status, await answer.json().catch(() => ({})));
  }
}

export async function ask(path, options) {
  const answer = await request(path, options);
  return answer.status === 204 ? null : answer.json();
}

export const send = (path, body, method = "POST", more = {}) => ask(path, { method, body, more });

// A picture as the graphics card takes it.
export async function picture(path, signal) {
  const blob = await (await request(path, { signal })).blob();
  return createImageBitmap(blob, { premultiplyAlpha: "none" });
}

export const bytes = async (path) => (await request(path)).arrayBuffer();

// A file as an address for an image or a download, and the name that the service gives it.
export async function download(path) {
  const answer = await request(path), disposition = answer.headers.get("content-disposition") || "";
  const name = /filename\*?="?(?:utf-8'')?([^";]+)/i.exec(disposition)?.[1];
  return { url: URL.createObjectURL(await answer.blob()), name: name && decodeURIComponent(name) };
}

const thumbnails = new Map();
export function thumbnail(path) {
  if (!thumbnails.has(path)) thumbnails.set(path, download(path).then(({ url }) => url));
  return thumbnails.get(path);
}

// One name for one intention: a request that is sent again makes no second job.
export const once = () => ({ "idempotency-key": crypto.randomUUID?.() ?? `${Date.now()}-${Math.random().toString(36).slice(2)}` });

export async function upload(file) {
  const form = new FormData();
  form.append("file", file);
  return ask("uploads", { method: "POST", body: form });
}

const ENDS = new Set(["done", "failed", "cancelled"]);

// Tells of the events of a job from its beginning until it ends, through lost connections. Returns what stops it.
export function events(job, heard) {
  const stop = new AbortController();
  let last = "0", wait = 500;
  (async () => {
    while (!stop.signal.aborted) {
      try {
        const answer = await request(`jobs/${job}/events`, { more: { "last-event-id": last }, signal: stop.signal });
        for await (const { id, event, data } of parsed(answer.body)) {
          [last, wait] = [id || last, 500];
          heard(event, data);
          if (event === "state" && ENDS.has(data.state)) return;
        }
      } catch (error) {
        if (error.name === "AbortError" || (error.status >= 400 && error.status < 500)) return;
      }
      await new Promise((go) => setTimeout(go, wait));
      wait = Math.min(wait * 2, 8000);
    }
  })();
  return () => stop.abort();
}

async function* parsed(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text = (text + value).replace(/\r\n/g, "\n");
    for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
      const fields = {};
      for (const line of text.slice(0, end).split("\n")) {
        const [, name, content] = /^(\w+): ?(.*)$/.exec(line) || [];
        if (name) fields[name] = name in fields ? `${fields[name]}\n${content}` : content;
      }
      if (fields.data) yield { ...fields, data: JSON.parse(fields.data) };
    }
  }
}

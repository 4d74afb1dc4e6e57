// Short hands for the document. Text is only ever set as text, so that what people write is never run.

export const find = (id) => document.getElementById(id);

// An element with properties (`on...` are listeners, others with a hyphen attributes) and children.
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name.includes("-") || name === "role" || name === "for") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

export function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// One of the symbols in index.html.
export const icon = (name) => draw("svg", { "aria-hidden": "true", class: "icon" }, draw("use", { href: `#i-${name}` }));

export function button(label, name, onclick, properties = {}) {
  return make("button", { type: "button", className: "round", title: label, "aria-label": label, onclick, ...properties }, icon(name));
}

// Calls a function once things have been quiet for a while.
export function later(milliseconds, work) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...given), milliseconds);
  };
}

export function remembered(key, otherwise, store = localStorage) {
  try { return JSON.parse(store.getItem(`studio.${key}`)) ?? otherwise; } catch { return otherwise; }
}

export function remember(key, value, store = localStorage) {
  try { store.setItem(`studio.${key}`, JSON.stringify(value)); } catch { /* private windows forbid it */ }
}

// Says something that goes away by itself, also to screen readers.
export function say(text, kind = "") {
  const toast = find("toast");
  toast.textContent = text;
  if (toast.matches(":popover-open")) toast.hidePopover();
  toast.showPopover();  // above dialogs, too
  toast.className = `shown ${kind}`;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { toast.className = ""; toast.hidePopover(); }, kind === "wrong" ? 9000 : 4000);
}

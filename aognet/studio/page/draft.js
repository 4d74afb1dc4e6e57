// What is being prepared, kept by the browser for its tab: a page that is loaded anew goes on with it.

import { Problem, picture } from "./api.js";
import { find, remember, remembered, say } from "./dom.js";
import { t } from "./locale.js";

const FIELDS = ["prompt", "negative", "seed"];

export const kept = () => remembered("draft", null, sessionStorage);

export function keep({ photos, pins, settings, studio }) {
  const { base } = photos;
  remember("draft", {
    fields: Object.fromEntries(FIELDS.map((id) => [id, find(id).value])),
    seams: find("seams").checked,
    model: find("model").value,
    height: +find("height").value,
    settings: settings.values,
    pins: pins.all.map(({ yaw, pitch, text }) => ({ yaw, pitch, text })),
    photos: photos.ready.map(({ upload, name, fov, yaw, pitch, roll, guessed }) => ({ upload, name, fov, yaw, pitch, roll, guessed })),
    base: base && { ...base, image: undefined, strokes: studio.brush.strokes },
  }, sessionStorage);
}

// Fills the form. What its pictures are is asked for again; one that is gone is left out.
export async function bring(make, draft) {
  for (const id of FIELDS) find(id).value = draft.fields[id];
  find("seams").checked = draft.seams;
  if (make.models.some(({ name }) => name === draft.model)) find("model").value = draft.model;
  make.choose(find("model").value === draft.model ? draft : {});
  for (const pin of draft.pins) make.pins.add(pin);
  const shown = [...draft.photos, ...(draft.base ? [draft.base] : [])];
  const images = await Promise.all(shown.map((one) => picture(`uploads/${one.upload ?? one.id}/image`).catch((error) => missed(one, error))));
  return () => shown.forEach((one, i) => images[i] && lay(make, one, images[i]));
}

function missed(one, error) {
  if (!(error instanceof Problem)) throw error;
  say(`${one.name}: ${error.status ? error.message : t("offline")}`, "wrong");
  return null;
}

function lay({ photos, studio }, { strokes, ...one }, image) {
  if (one.upload) return photos.place({ ...one, image });
  photos.setBase({ ...one, image });
  for (const stroke of strokes) studio.brush.add(stroke);
}

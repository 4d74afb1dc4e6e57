// The first page of the panel: what to paint, from what, how. It asks for a job.

import { Problem, ask, once, send } from "./api.js";
import { bring, keep, kept } from "./draft.js";
import { find, later, make, say } from "./dom.js";
import { duration, has, onlanguage, t } from "./locale.js";
import { Photos } from "./photos.js";
import { Pins } from "./pins.js";
import { Settings } from "./settings.js";

const SIZES = [256, 512, 1024, 2048, 4096];

export class Make {
  constructor(studio) {
    const changed = () => this.changed();
    Object.assign(this, { studio, models: [], cost: null, price: later(400, () => this.plan()), asking: 0 });
    Object.assign(this, { draft: kept(), store: later(200, () => this.draft ?? keep(this)) });
    this.photos = new Photos(studio.stage, studio.overlay, changed, () => this.tool());
    this.pins = new Pins(studio.stage, studio.overlay, changed);
    this.settings = new Settings(find("settings"), changed);
    for (const id of ["prompt", "negative", "height", "seed", "seams"]) find(id).addEventListener("input", changed);
    find("model").addEventListener("change", () => this.choose());
    find("describe").addEventListener("click", () => this.describe());
    find("paint").addEventListener("click", () => this.paint());
    onlanguage(() => this.choose({ height: +find("height").value, settings: this.settings.values }));
    find("paint").disabled = true;
  }

  async load() {
    this.models = await ask("models");
    find("model").replaceChildren(...this.models.map(({ name, title }) => make("option", { value: name, textContent: title })));
    this.choose();
    this.resume();
  }

  // Goes on with what was being prepared when the page was left.
  async resume() {
    const { draft } = this;
    if (!draft || !this.models.length || this.studio.page !== "make" || this.resuming) return;
    this.resuming = true;
    const lay = await bring(this, draft).catch((error) => this.refused(error));
    if (this.draft !== draft) return;  // something new was begun meanwhile
    lay?.();
    this.draft = null;
    this.changed();
  }

  get model() { return this.models.find(({ name }) => name === find("model").value); }

  // `height` and `settings`: what was chosen, where the model has it.
  choose({ height, settings } = {}) {
    const { model } = this;
    if (!model) return;
    const sizes = [...new Set([...SIZES, model.height])].filter((rows) => rows <= Math.max(4 * model.height, 1024)).sort((a, b) => a - b);
    const chosen = sizes.includes(height) ? height : model.height;
    find("height").replaceChildren(...sizes.map((rows) => make("option", { value: rows, textContent: `${2 * rows} × ${rows}`, selected: rows === chosen })));
    find("add-pin").hidden = !model.takes.includes("prompts_at");
    find("method-settings").hidden = !this.settings.show(model.settings, settings);
    this.changed();
  }

  start() {
    const { stage, overlay } = this.studio;
    stage.show(this.photos.base?.image ?? null);
    this.tool();
    for (const photo of this.photos.ready) if (!stage.scene.pictures.includes(photo)) stage.lay(photo);
    overlay.photos = this.photos.all;
    overlay.selected = this.photos.ready.at(-1) ?? null;
    overlay.pins = this.pins.all;
    for (const pin of this.pins.all) pin.element.hidden = false;
    this.photos.render();
    this.changed();
    this.resume();
  }

  // Photographs are moved; of a panorama to start from, what to paint anew is brushed.
  tool() {
    const { stage, brush, overlay } = this.studio;
    brush.clear();
    brush.erase = false;
    stage.use(this.photos.base ? brush : overlay.mover);
  }

  leave() {
    const { overlay } = this.studio;
    for (const pin of this.pins.all) pin.element.hidden = true;
    Object.assign(overlay, { photos: [], selected: null, pins: [] });
    document.documentElement.classList.remove("empty");
  }

  clear() {
    this.draft = null;
    this.photos.clear();
    this.pins.clear();
    find("prompt").value = find("negative").value = "";
    find("seed").value = 0;
    find("seams").checked = false;
    this.choose();
  }

  get body() {
    const words = { prompt: find("prompt").value.trim(), negative: find("negative").value.trim(), prompts_at: find("add-pin").hidden ? [] : this.pins.asked };
    const how = { model: this.model.name, height: +find("height").value, seed: Math.max(0, Math.round(+find("seed").value || 0)), settings: this.settings.values };
    const { base } = this.photos, body = { kind: !base && find("seams").checked ? "seams" : "paint", ...words, ...how, photos: this.photos.asked };
    if (base) Object.assign(body, { panorama: { upload: base.id }, mask: { strokes: this.studio.brush.strokes } });
    return structuredClone(body);
  }

  // What is still missing, as the key of a text; null: it can be painted.
  get missing() {
    if (!this.model) return "cost.none";
    const { base, all, ready } = this.photos;
    if (all.length > ready.length) return "cost.uploading";
    if (base && this.studio.brush.empty) return "cost.brush";
    if (!base && !ready.length && !find("prompt").value.trim()) return "cost.words";
    return null;
  }

  changed() {
    const { missing } = this, { base } = this.photos;
    find("describe").hidden = !this.photos.ready.length && !base;
    const empty = this.studio.page === "make" && !base && !this.photos.all.length && !find("prompt").value && !this.pins.all.length;
    document.documentElement.classList.toggle("empty", empty);
    find("paint").disabled = !!missing;
    this.cost = null;
    this.tell(missing);
    if (!missing) this.price();
    this.store();
  }

  tell(missing) {
    const { cost } = this, parts = [];
    if (cost) parts.push(cost.views ? t("cost.views", { n: cost.views }) : t("cost.whole"));
    if (cost?.seconds_estimate) parts.push(t("about", { time: duration(cost.seconds_estimate) }));
    find("cost").textContent = missing ? t(missing) : parts.join(" · ");
  }

  async plan() {
    const asking = ++this.asking;
    if (this.missing) return;
    try {
      const cost = await send("plan", this.body);
      if (asking !== this.asking || this.missing) return;
      this.cost = cost;
      this.tell(null);
    } catch (error) {
      if (asking === this.asking) find("cost").textContent = this.reason(error);
    }
  }

  async describe() {
    const upload = this.photos.ready[0]?.upload ?? this.photos.base.id;
    find("describe").disabled = true;
    find("describe").textContent = t("describing");
    try {
      find("prompt").value = (await send("captions", { upload })).text;
      this.changed();
    } catch (error) {
      this.refused(error);
    }
    find("describe").disabled = false;
    find("describe").textContent = t("describe");
  }

  async paint() {
    if (this.missing) return find("prompt").focus();
    find("paint").disabled = true;
    try {
      const key = this.key ??= once();
      const job = await send("jobs", this.body, "POST", key);
      this.key = null;
      this.studio.watch(job);
    } catch (error) {
      if (error.status) this.key = null;  // the same key again where nobody knows whether it arrived
      this.refused(error);
    }
    find("paint").disabled = false;
  }

  refused(error) { say(find("cost").textContent = this.reason(error), "wrong"); }

  reason(error) {
    if (!(error instanceof Problem)) throw error;
    const key = error.key && has(`key.${error.key}`) ? `${t(`key.${error.key}`)}: ` : "";
    return error.status ? key + error.message : t("offline");
  }
}

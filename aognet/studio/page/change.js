// The third page of the panel: a panorama is looked at, changed by direction, compared, kept.

import { Problem, ask, bytes, once, picture, send, thumbnail, upload } from "./api.js";
import { find, later, make, say } from "./dom.js";
import { moment, onlanguage, t } from "./locale.js";
import { halfFloats } from "./radiance.js";

const SIZES = ["radius", "base-radius"];  // sliders of the brush, on two pages

export class Change {
  constructor(studio) {
    Object.assign(this, { studio, panorama: null, versions: [], images: new Map(), saved: null });
    const { brush } = studio;
    for (const tool of document.querySelectorAll("input[name=tool]")) tool.addEventListener("change", () => this.choose(tool.value));
    for (const slider of SIZES) find(slider).addEventListener("input", (event) => this.size(+event.target.value));
    find("repaint-prompt").addEventListener("input", () => this.tell());
    find("clear-mask").addEventListener("click", () => brush.clear());
    find("repaint").addEventListener("click", () => this.repaint());
    find("undo").addEventListener("click", () => this.step("undo"));
    find("redo").addEventListener("click", () => this.step("redo"));
    find("compare").addEventListener("click", () => this.compare(find("divider").hidden));
    find("split").addEventListener("input", () => this.divide());
    const rename = () => find("title").value.trim() !== this.panorama.title && this.patch({ title: find("title").value.trim() });
    find("title").addEventListener("input", later(600, rename));
    find("title").addEventListener("change", rename);
    find("favourite").addEventListener("click", () => this.patch({ favourite: !this.panorama.favourite }));
    find("style-photo").addEventListener("change", (event) => { find("style-go").disabled = !event.target.files.length; });
    find("style-strength").addEventListener("input", () => this.strength());
    find("style-go").addEventListener("click", () => this.restyle());
    this.strength();
    find("fork-view").addEventListener("input", () => this.keep());
    find("fork-go").addEventListener("click", () => this.fork());
    onlanguage(() => this.panorama && this.render());
    studio.stage.drawn.push(() => this.place());
    this.size(brush.radius);
  }

  async open(id) {
    const [panorama, { versions }] = await Promise.all([ask(`panoramas/${id}`), ask(`panoramas/${id}/versions`)]);
    if (!panorama.head) throw new Problem(404, { detail: t("library.none") });
    const same = this.panorama?.id === id;
    Object.assign(this, { panorama, versions });
    if (!same) {
      this.images.clear();
      find("repaint-prompt").value = "";
    }
    await this.show();
  }

  async show() {
    const { stage, brush } = this.studio, { head } = this.panorama;
    this.compare(false);
    const image = await this.image(head);
    if (this.panorama.head !== head) return;
    stage.removeAll();
    stage.show(image);
    brush.clear();
    this.choose("look");
    document.querySelector("input[name=tool][value=look]").checked = true;
    find("light").hidden = !stage.scene.linear;
    this.render();
  }

  // The picture of a version, or its light where it has some.
  image(version) {
    if (!this.images.has(version.id)) {
      const isLight = "result.exr" in version.files;
      const loaded = isLight ? bytes(`versions/${version.id}/light`).then(halfFloats) : picture(version.files["result.png"]);
      this.images.set(version.id, loaded.catch((error) => { this.images.delete(version.id); throw error; }));
    }
    return this.images.get(version.id);
  }

  get parent() { return this.versions.find(({ id }) => id === this.panorama?.head.parent_id); }

  render() {
    const { panorama, versions } = this;
    if (document.activeElement !== find("title")) find("title").value = panorama.title;
    find("favourite").setAttribute("aria-pressed", panorama.favourite);
    find("undo").disabled = !panorama.can_undo;
    find("redo").disabled = !panorama.can_redo;
    find("compare").disabled = !this.parent;
    find("history").replaceChildren(...[...versions].reverse().map((version) => this.item(version)));
    const count = panorama.head.about?.views ?? 0;
    find("fork").hidden = !count;
    find("fork-view").max = Math.max(count - 1, 0);
    find("fork-view").value = Math.min(+find("fork-view").value, count);
    this.keep();
    this.tell();
  }

  item(version) {
    const image = make("img", { alt: "" }), current = version.id === this.panorama.head.id;
    const words = version.about?.prompt || t(version.parent_id ? "version.changed" : "version.first");
    if (version.files["thumbnail.jpg"]) thumbnail(version.files["thumbnail.jpg"]).then((url) => { image.src = url; }, () => {});
    const text = make("span", { className: "text" }, make("b", { textContent: words }), moment(version.created));
    return make("li", {}, make("button", { type: "button", "aria-current": current, onclick: () => this.visit(version) }, image, text));
  }

  // The head moves along the chain to a version; one beside the chain is only looked at.
  async visit(version) {
    const above = (one) => { const ids = []; for (; one; one = this.versions.find(({ id }) => id === one.parent_id)) ids.push(one.id); return ids; };
    const { head } = this.panorama;
    const down = above(head).indexOf(version.id), up = above(version).indexOf(head.id);
    if (down < 0 && up < 0) {
      const image = await this.image(version);
      this.studio.stage.show(image);
      return say(t("version.beside"));
    }
    for (let i = 0; i < Math.max(down, up); i++) if (!await this.step(down > 0 ? "undo" : "redo", i + 1 < Math.max(down, up))) return;
  }

  async step(way, more = false) {
    try {
      this.panorama = await send(`panoramas/${this.panorama.id}/${way}`, {});
      if (!more) await this.show();
      return true;
    } catch (error) {
      this.refused(error);
      return false;
    }
  }

  patch(values) { return this.saved = this.save(values); }

  async save(values) {
    try {
      this.panorama = await send(`panoramas/${this.panorama.id}`, values, "PATCH");
      this.render();
    } catch (error) {
      this.refused(error);
    }
  }

  // ------------------------------------------------------------------ repaint
  choose(tool) {
    const { stage, brush } = this.studio;
    if (tool !== "look") this.compare(false);
    brush.erase = tool === "erase";
    stage.use(tool === "look" ? null : brush);
  }

  size(degrees) {
    this.studio.brush.radius = degrees;
    for (const slider of SIZES) {
      find(slider).value = degrees;
      find(slider).nextElementSibling.textContent = `${2 * degrees}°`;
    }
  }

  tell() {
    const { brush } = this.studio;
    find("clear-mask").disabled = !brush.strokes.length;
    find("repaint").disabled = brush.empty || !find("repaint-prompt").value.trim();
  }

  async repaint() {
    const { brush } = this.studio, mask = { strokes: structuredClone(brush.strokes) };
    await this.submit("repaint", find("repaint"), { mask, prompt: find("repaint-prompt").value.trim(), seed: this.versions.length });
  }

  keep() { find("fork-value").textContent = `${find("fork-view").value} / ${+find("fork-view").max + 1}`; }

  async fork() {
    const prompt = find("fork-prompt").value.trim() || this.panorama.head.about?.prompt || "";
    await this.submit("fork", find("fork-go"), { version_id: this.panorama.head.id, view: +find("fork-view").value, prompt });
  }

  strength() { find("style-value").textContent = `${Math.round(100 * find("style-strength").value)} %`; }

  async restyle() {
    const control = find("style-go");
    control.disabled = true;
    try {
      const photo = (await upload(find("style-photo").files[0])).id;
      await this.submit("style", control, { version_id: this.panorama.head.id, style: { photo, strength: +find("style-strength").value } });
    } catch (error) {
      this.refused(error);
    }
    control.disabled = !find("style-photo").files.length;
  }

  async submit(what, control, body) {
    control.disabled = true;
    try {
      const job = await send(`panoramas/${this.panorama.id}/${what}`, body, "POST", once());
      this.compare(false);
      this.studio.watch(job);
    } catch (error) {
      this.refused(error);
    }
    control.disabled = false;
  }

  refused(error) {
    if (!(error instanceof Problem)) throw error;
    say(error.status ? error.message : t("offline"), "wrong");
  }

  // ------------------------------------------------------------------ compare
  async compare(on) {
    const { stage } = this.studio, { parent } = this;
    find("compare").setAttribute("aria-pressed", on);
    if (!on && find("divider").hidden) return;
    find("divider").hidden = !on;
    if (!on) return stage.compare(null);
    this.choose("look");
    document.querySelector("input[name=tool][value=look]").checked = true;
    const image = await this.image(parent);
    if (find("divider").hidden) return;
    find("split").value = 500;
    stage.compare(image);
  }

  // The middle of the slider's thumb, as a share of the stage.
  divide() {
    const { clientWidth: width } = find("stage"), thumb = 48, share = find("split").value / 1000;
    this.studio.stage.gaze.move({ split: (share * (width - thumb) + thumb / 2) / width }, 0.03);
  }

  place() {
    const { scene, gaze } = this.studio.stage;
    if (scene.before) find("divider").style.setProperty("--at", `${gaze.view.split * 100}%`);
  }

  leave() {
    this.compare(false);
    this.studio.brush.clear();
    find("light").hidden = true;
  }
}

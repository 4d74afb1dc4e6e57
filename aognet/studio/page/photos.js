// Photographs that lie on the sphere, each with its pose: in the list of the panel and as pictures on the stage.

import { Problem, picture, thumbnail, upload } from "./api.js";
import { button, find, make, say } from "./dom.js";
import { direction, onlanguage, t } from "./locale.js";
import { wrap } from "./look.js";

// What photographs usually show that do not say it: phones, held across and upright.
const GUESSED_FOV = { across: 70, upright: 55 };
const SLIDERS = [["fov", 10, 150], ["yaw", -180, 180], ["pitch", -90, 90], ["roll", -180, 180]];

export class Photos {
  // `changed`: is told of every change; `onbase`: of a panorama to start from that came or went.
  constructor(stage, overlay, changed, onbase) {
    Object.assign(this, { stage, overlay, changed, onbase, all: [], base: null, items: new Map() });
    overlay.photos = this.all;
    overlay.onphoto = (photo) => this.moved(photo);
    overlay.onselect = () => this.render();
    onlanguage(() => { this.items.clear(); this.render(); });
    find("remove-base").addEventListener("click", () => this.setBase(null));
    find("files").addEventListener("change", (event) => {
      this.add([...event.target.files]);
      event.target.value = "";
    });
  }

  async add(files) {
    for (const file of files) {
      const waiting = { name: file.name, waiting: true };
      this.all.push(waiting);
      this.render();
      try {
        const taken = await upload(file);
        const image = await picture(`uploads/${taken.id}/image`);
        if (!this.all.includes(waiting)) continue;
        this.drop(waiting);
        if (taken.is_panorama && !this.all.length) this.setBase({ ...taken, name: file.name, image });
        else this.place({ upload: taken.id, name: file.name, image, fov: taken.exif_fov, guessed: taken.exif_fov == null });
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        this.drop(waiting);
        say(`${file.name}: ${error.status ? error.message : t("offline")}`, "wrong");
      }
    }
  }

  drop(photo) {
    this.all.splice(this.all.indexOf(photo), 1);
    this.render();
  }

  // Lays a photograph on the sphere, beside the last one if it has no direction yet.
  place(photo) {
    const { width, height } = photo.image, last = this.all.filter((one) => !one.waiting).at(-1);
    const fov = photo.fov ?? GUESSED_FOV[width < height ? "upright" : "across"];
    const yaw = photo.yaw ?? (last ? wrap(last.yaw + (last.fov + fov) / 2 * 0.9) : 0);
    Object.assign(photo, { width, height, fov, yaw, pitch: photo.pitch ?? 0, roll: photo.roll ?? 0 });
    this.all.push(this.stage.lay(photo));
    this.overlay.selected = photo;
    this.stage.gaze.turn({ yaw, pitch: 0 });
    this.render();
    this.changed();
  }

  remove(photo) {
    this.stage.remove(photo);
    this.all.splice(this.all.indexOf(photo), 1);
    if (this.overlay.selected === photo) this.overlay.selected = this.all.at(-1) ?? null;
    this.render();
    this.changed();
  }

  // A whole panorama to start from, of which a part is painted anew.
  setBase(base) {
    this.base = base;
    this.stage.show(base?.image ?? null);
    this.onbase();
    this.render();
    this.changed();
  }

  clear() {
    for (const photo of [...this.all]) this.stage.remove(photo);
    this.all.length = 0;
    this.overlay.selected = null;
    this.base = null;
    this.render();
  }

  get ready() { return this.all.filter((photo) => !photo.waiting); }

  get asked() { return this.ready.map(({ upload, yaw, pitch, roll, fov }) => ({ upload, yaw, pitch, roll, fov })); }

  // ------------------------------------------------------------------ the list
  moved(photo) {
    photo.guessed &&= false;
    const item = this.items.get(photo);
    if (item) this.fill(photo, item);
    this.changed();
  }

  fill(photo, item) {
    item.text.textContent = direction(photo.yaw, photo.pitch);
    for (const [key] of SLIDERS) {
      item.inputs[key].value = photo[key];
      item.inputs[key].setAttribute("aria-valuetext", t("degrees", { degrees: Math.round(photo[key]) }));
      item.outputs[key].textContent = `${Math.round(photo[key])}°`;
    }
  }

  render() {
    const list = find("photos");
    list.replaceChildren(...this.all.map((photo) => this.item(photo)));
    find("drop").classList.toggle("some", this.all.length > 0 || !!this.base);
    find("drop").querySelector("b").textContent = t(this.all.length ? "drop.another" : "drop.choose");
    find("base").hidden = !this.base;
    find("base").querySelector("p").textContent = this.base ? t("base", { name: this.base.name }) : "";
  }

  item(photo) {
    if (photo.waiting) return make("li", {}, make("div", { className: "photo" }, make("span", { className: "text", textContent: t("uploading", { name: photo.name }) })));
    let item = this.items.get(photo);
    if (!item) this.items.set(photo, item = this.build(photo));
    const selected = photo === this.overlay.selected;
    item.element.classList.toggle("selected", selected);
    item.pose.hidden = !selected;
    item.open.setAttribute("aria-expanded", selected);
    this.fill(photo, item);
    return item.element;
  }

  build(photo) {
    const image = make("img", { alt: "" }), text = make("span");
    thumbnail(`uploads/${photo.upload}/image`).then((url) => { image.src = url; }, () => {});
    const select = () => {
      this.overlay.select(photo);
      this.stage.gaze.turn({ yaw: photo.yaw, pitch: photo.pitch });
    };
    const open = make("button", { type: "button", onclick: select }, image, make("span", { className: "text" }, make("b", { textContent: photo.name }), text));
    const remove = button(t("photo.remove", { name: photo.name }), "trash", () => this.remove(photo));
    const inputs = {}, outputs = {};
    const pose = make("div", { className: "pose" }, make("p", { textContent: t(photo.guessed ? "pose.guess" : "pose.hint") }));
    for (const [key, min, max] of SLIDERS) {
      const id = `${key}-${photo.upload}`;
      inputs[key] = make("input", { id, type: "range", min, max, step: 0.5, oninput: (event) => this.overlay.change(photo, { [key]: +event.target.value }) });
      outputs[key] = make("output", { for: id });
      pose.append(make("div", { className: "slide" }, make("label", { for: id, textContent: t(`pose.${key}`) }), inputs[key], outputs[key]));
    }
    const element = make("li", {}, make("div", { className: "photo" }, open, remove), pose);
    return { element, open, text, pose, inputs, outputs };
  }
}

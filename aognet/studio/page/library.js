// The panoramas that are there, as a dialog.

import { Problem, ask, send, thumbnail } from "./api.js";
import { button, find, later, make, say } from "./dom.js";
import { moment, t } from "./locale.js";

const PAGE = 24;

export class Library {
  constructor(studio) {
    Object.assign(this, { studio, cursor: null, asking: 0 });
    find("open-library").addEventListener("click", () => this.open());
    find("search").addEventListener("input", later(250, () => this.load()));
    find("only-favourites").addEventListener("change", () => this.load());
    find("more-panoramas").addEventListener("click", () => this.load(true));
  }

  async open() {
    find("library").showModal();
    await this.studio.change.saved;  // a name that was just given
    this.load();
  }

  async load(more = false) {
    const asking = ++this.asking, query = new URLSearchParams({ limit: PAGE });
    if (find("search").value.trim()) query.set("q", find("search").value.trim());
    if (find("only-favourites").checked) query.set("favourite", "true");
    if (more) query.set("cursor", this.cursor);
    try {
      const { panoramas, cursor } = await ask(`panoramas?${query}`);
      if (asking !== this.asking) return;
      this.cursor = cursor;
      const items = panoramas.filter(({ head }) => head).map((panorama) => this.item(panorama));
      find("panoramas")[more ? "append" : "replaceChildren"](...items);
      find("none").hidden = find("panoramas").childElementCount > 0;
      find("more-panoramas").hidden = !cursor;
    } catch (error) {
      this.refused(error);
    }
  }

  item(panorama) {
    const title = panorama.title || t("untitled"), image = make("img", { alt: "" });
    const file = panorama.head.files["thumbnail.jpg"];
    if (file) thumbnail(file).then((url) => { image.src = url; }, () => {});
    const text = make("span", { className: "text" }, make("span", { className: "name", textContent: title }), make("span", { className: "when", textContent: moment(panorama.updated) }));
    const open = () => { find("library").close(); this.studio.open(panorama.id); };
    const star = button(t("favourite.of", { title }), "star", () => this.favour(panorama, star), { "aria-pressed": panorama.favourite });
    const remove = button(t("delete.of", { title }), "trash", () => this.remove(panorama, element));
    const element = make("li", {}, make("button", { type: "button", className: "open", onclick: open }, image, text), make("span", { className: "acts" }, star, remove));
    return element;
  }

  async favour(panorama, star) {
    try {
      Object.assign(panorama, await send(`panoramas/${panorama.id}`, { favourite: !panorama.favourite }, "PATCH"));
      star.setAttribute("aria-pressed", panorama.favourite);
    } catch (error) {
      this.refused(error);
    }
  }

  async remove(panorama, element) {
    if (!confirm(t("delete.sure", { title: panorama.title || t("untitled") }))) return;
    try {
      await ask(`panoramas/${panorama.id}`, { method: "DELETE" });
      element.remove();
      this.studio.gone(panorama.id);
    } catch (error) {
      this.refused(error);
    }
  }

  refused(error) {
    if (!(error instanceof Problem)) throw error;
    say(error.status ? error.message : t("offline"), "wrong");
  }
}

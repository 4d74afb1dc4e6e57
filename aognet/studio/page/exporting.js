// Exports, as a dialog: what for, in which form, and the file.

import { Problem, ask, download } from "./api.js";
import { find, make, say } from "./dom.js";
import { has, t } from "./locale.js";

export class Exporting {
  constructor(studio) {
    this.studio = studio;
    find("open-export").addEventListener("click", () => this.open());
    find("export-go").addEventListener("click", () => this.save());
  }

  async open() {
    find("export-state").textContent = "";
    find("export").showModal();
    try {
      const picture = { name: "", title: t("export.picture"), description: t("export.picture.about") };
      this.presets = [picture, ...await ask("presets")];
      find("presets").replaceChildren(...this.presets.map((preset, i) => this.item(preset, i === 0)));
      this.choose(picture);
    } catch (error) {
      this.refused(error);
    }
  }

  item(preset, checked) {
    const { name, title, description } = preset, key = `preset.${name}`;
    return make("label", {},
      make("input", { type: "radio", name: "preset", value: name, checked, onchange: () => this.choose(preset) }),
      make("b", { textContent: has(key) ? t(key) : title }),
      make("span", { textContent: has(`${key}.about`) ? t(`${key}.about`) : description }));
  }

  // Shows in which forms there is a preset, if there are several.
  choose(preset) {
    this.preset = preset;
    find("export-state").textContent = "";
    for (const [id, choices = []] of [["export-format", preset.formats], ["export-layout", preset.layouts]]) {
      find(id).replaceChildren(make("option", { value: "", textContent: t("export.usual") }), ...choices.map((one) => make("option", { value: one, textContent: one.replaceAll("_", " ") })));
      find(id).closest(".field").hidden = choices.length < 2;
    }
  }

  async save() {
    const { panorama } = this.studio.change, { head } = panorama, { name } = this.preset;
    const asked = new URLSearchParams({ preset: name, format: find("export-format").value, layout: find("export-layout").value });
    find("export-go").disabled = true;
    find("export-state").textContent = t("export.making");
    try {
      const file = await download(name ? `versions/${head.id}/export?${asked}` : head.files["result.png"]);
      make("a", { href: file.url, download: file.name ?? `${panorama.title || "panorama"}.png` }).click();
      setTimeout(() => URL.revokeObjectURL(file.url), 60_000);
      find("export-state").textContent = t("export.done");
    } catch (error) {
      find("export-state").textContent = "";
      this.refused(error);
    }
    find("export-go").disabled = false;
  }

  refused(error) {
    if (!(error instanceof Problem)) throw error;
    say(error.status ? error.message : t("offline"), "wrong");
  }
}

// Exports, as a dialog: what for, and the file.

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
      const presets = await ask("presets"), picture = { name: "", title: t("export.picture"), description: t("export.picture.about") };
      find("presets").replaceChildren(...[picture, ...presets].map((preset, i) => this.item(preset, i === 0)));
    } catch (error) {
      this.refused(error);
    }
  }

  item({ name, title, description }, checked) {
    const key = `preset.${name}`;
    return make("label", {},
      make("input", { type: "radio", name: "preset", value: name, checked }),
      make("b", { textContent: has(key) ? t(key) : title }),
      make("span", { textContent: has(`${key}.about`) ? t(`${key}.about`) : description }));
  }

  async save() {
    const { panorama } = this.studio.change, { head } = panorama;
    const preset = document.querySelector("input[name=preset]:checked").value;
    find("export-go").disabled = true;
    find("export-state").textContent = t("export.making");
    try {
      const file = await download(preset ? `versions/${head.id}/export?${new URLSearchParams({ preset })}` : head.files["result.png"]);
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

// Words that are pinned to directions of the sphere.

import { button, find, icon, make } from "./dom.js";
import { direction, onlanguage, t } from "./locale.js";
import { anglesOf } from "./directions.js";

export class Pins {
  constructor(stage, overlay, changed) {
    Object.assign(this, { stage, overlay, changed, all: [], count: 0 });
    overlay.pins = this.all;
    onlanguage(() => this.render());
    find("add-pin").addEventListener("click", () => this.choose());
  }

  // The next click, or Enter, says where.
  choose() {
    const before = this.stage.tool, { canvas } = this.stage;
    const done = (at) => {
      this.stage.use(before);
      this.add({ ...at, text: "" });
    };
    this.stage.use({
      draws: true, hint: "pin.hint",
      grab: (_, at) => ({ move() {}, end: (event, kept) => kept && done(anglesOf(at)) }),
      keys: { Enter: () => done(this.stage.ahead), Escape: () => this.stage.use(before) },
    });
    canvas.focus({ preventScroll: true });
  }

  add({ yaw, pitch, text }) {
    const words = make("span"), element = make("div", { className: "mark" }, icon("pin"), words);
    const pin = { yaw, pitch, text, element, words, id: `pin-${++this.count}` };
    find("labels").append(element);
    this.all.push(pin);
    this.render();
    find(pin.id).focus();
    this.stage.redraw();
  }

  remove(pin) {
    pin.element.remove();
    this.all.splice(this.all.indexOf(pin), 1);
    this.render();
    this.changed();
  }

  clear() { for (const pin of [...this.all]) this.remove(pin); }

  get asked() { return this.all.filter((pin) => pin.text.trim()).map(({ yaw, pitch, text }) => ({ yaw, pitch, text: text.trim() })); }

  render() {
    find("pins").replaceChildren(...this.all.map((pin) => {
      const where = direction(pin.yaw, pin.pitch), show = () => { pin.words.textContent = pin.text || "…"; };
      const words = (event) => { pin.text = event.target.value; show(); this.changed(); };
      show();
      const look = () => this.stage.gaze.turn({ yaw: pin.yaw, pitch: pin.pitch });
      return make("li", {},
        make("div", { className: "where" },
          make("input", { id: pin.id, type: "text", value: pin.text, maxLength: 4000, placeholder: t("pin.example"), "aria-label": t("pin.words", { where }), oninput: words }),
          make("span", { textContent: where })),
        button(t("pin.look", { where }), "target", look),
        button(t("pin.remove", { where }), "trash", () => this.remove(pin)));
    }));
  }
}

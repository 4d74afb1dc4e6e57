// The brush: strokes on the sphere, kept as vectors, shown as a mask, taken back and made again.

import { Mask, isEmpty } from "./strokes.js";
import { anglesOf, dot } from "./directions.js";
import { RADIANS } from "./look.js";

const ROWS = 512;        // of the mask that is shown
const APART = 0.15;      // of the radius between the points of a stroke

export class Brush {
  constructor(stage, overlay, changed) {
    Object.assign(this, { stage, overlay, changed, strokes: [], mask: new Mask(ROWS), radius: 14, erase: false });
    this.draws = true;
    this.keys = { " ": () => this.stamp(), Enter: () => this.stamp(), z: () => this.takeBack() };
  }

  get hint() { return this.erase ? "erase.hint" : "brush.hint"; }
  get empty() { return !this.strokes.length || isEmpty(this.mask); }

  grab(event, direction) {
    const { yaw, pitch } = anglesOf(direction);
    const stroke = { radius_degrees: this.radius, points: [[round(yaw), round(pitch)]], erase: this.erase };
    let last = direction;
    this.strokes.push(stroke);
    this.mask.addLast(stroke);
    this.show();
    return {
      move: (next) => {
        const to = this.stage.directionAt(next);
        this.hover(next, to);
        if (dot(last, to) > Math.cos(APART * this.radius * RADIANS)) return;
        const at = anglesOf(to);
        stroke.points.push([round(at.yaw), round(at.pitch)]);
        last = to;
        this.mask.addLast(stroke);
        this.show();
      },
      end: (_, kept) => kept ? this.changed() : this.takeBack(),
    };
  }

  hover(event, direction) {
    this.overlay.brush = direction && event.pointerType !== "touch" ? { direction, radius: this.radius, erase: this.erase } : null;
    this.stage.redraw();
  }

  leave() { this.overlay.brush = null; }

  // A cap in the middle of the screen, for those who have no pointer.
  stamp() {
    const { yaw, pitch } = this.stage.ahead;
    this.add({ radius_degrees: this.radius, points: [[round(yaw), round(pitch)]], erase: this.erase });
  }

  add(stroke) {
    this.strokes.push(stroke);
    this.mask.add(stroke);
    this.show();
    this.changed();
  }

  takeBack() {
    this.strokes.pop();
    this.again();
  }

  clear() {
    this.strokes = [];
    this.again();
  }

  again() {
    this.mask.clear();
    for (const stroke of this.strokes) this.mask.add(stroke);
    this.show();
    this.changed();
  }

  show() { this.stage.mask(this.strokes.length ? this.mask : null); }
}

const round = (degrees) => Math.round(degrees * 100) / 100;

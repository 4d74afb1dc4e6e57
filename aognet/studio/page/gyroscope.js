// A phone that is turned looks around.

import { RADIANS } from "./look.js";
import { find, say } from "./dom.js";
import { t } from "./locale.js";

// Where the back of a phone looks, from the angles of a `deviceorientation` event (alpha about the vertical, beta about
// the phone's width, gamma about its length; W3C Device Orientation, Z-X'-Y'') and how its screen is turned.
export function gazeOf(alpha, beta, gamma, screen = 0) {
  const [a, b, g, s] = [alpha, beta, gamma, screen].map((x) => x * RADIANS);
  const [ca, sa, cb, sb, cg, sg] = [Math.cos(a), Math.sin(a), Math.cos(b), Math.sin(b), Math.cos(g), Math.sin(g)];
  // Columns of device-to-earth (east, north, up): right and top of the device, and out of its screen.
  const right = [ca * cg - sa * sb * sg, sa * cg + ca * sb * sg, -cb * sg];
  const top = [-sa * cb, ca * cb, sb];
  const out = [ca * sg + sa * sb * cg, sa * sg - ca * sb * cg, cb * cg];
  const across = right.map((x, k) => x * Math.cos(s) - top[k] * Math.sin(s));
  const up = right.map((x, k) => x * Math.sin(s) + top[k] * Math.cos(s));
  const [east, north, height] = out.map((x) => -x);
  return { yaw: Math.atan2(east, north) / RADIANS, pitch: Math.asin(Math.max(-1, Math.min(1, height))) / RADIANS, roll: Math.atan2(-across[2], up[2]) / RADIANS };
}

export class Gyroscope {
  constructor(stage) {
    Object.assign(this, { stage, on: false, first: null });
    this.heard = (event) => this.turn(event);
    find("gyroscope").hidden = !("DeviceOrientationEvent" in window) || !matchMedia("(pointer: coarse)").matches;
    find("gyroscope").addEventListener("click", () => this.toggle());
  }

  async toggle() {
    this.on = !this.on;
    if (this.on && DeviceOrientationEvent.requestPermission) {
      const answer = await DeviceOrientationEvent.requestPermission().catch(() => "denied");
      this.on = answer === "granted";
    }
    find("gyroscope").setAttribute("aria-pressed", this.on);
    this.first = null;
    if (this.on) {
      addEventListener("deviceorientation", this.heard);
      say(t("gyroscope.hint"));
    } else {
      removeEventListener("deviceorientation", this.heard);
      this.stage.gaze.move({ roll: 0 });
    }
  }

  turn({ alpha, beta, gamma }) {
    if (alpha == null) return;
    const now = gazeOf(alpha, beta, gamma, screen.orientation?.angle ?? 0), { gaze } = this.stage;
    this.first ??= now.yaw - gaze.view.yaw;  // what was ahead when it began stays ahead
    gaze.turn({ yaw: now.yaw - this.first, pitch: now.pitch, roll: now.roll }, 0.05);
  }
}

// What lies over the sphere: where the directions are, the horizon, frames of photographs, pins, the brush.

import { anglesOf, corners, cross, dot, turned, turnedBack, unit, vector } from "./directions.js";
import { RADIANS, clamp, rotation, wrap } from "./look.js";
import { draw, find, make } from "./dom.js";
import { onlanguage, t } from "./locale.js";

const SIDES = { ahead: 0, right: 90, behind: 180, "left side": -90 };
const LEAST_FOV = 10, MOST_FOV = 150;

const path = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
function put(element, place) {
  element.hidden = !place;
  if (place) element.style.transform = `translate(${place[0].toFixed(1)}px, ${place[1].toFixed(1)}px) translate(-50%, -50%)`;
}

export class Overlay {
  constructor(stage) {
    Object.assign(this, { stage, photos: [], selected: null, pins: [], onphoto: () => {}, brush: null });
    this.svg = find("lines");
    this.horizon = this.svg.appendChild(draw("path", { class: "horizon" }));
    this.frames = this.svg.appendChild(draw("g"));
    this.brushLine = this.svg.appendChild(draw("path", { class: "brush" }));
    this.labels = Object.keys(SIDES).map((name) => [name, find("labels").appendChild(make("span", { className: "side" }))]);
    this.handles = ["corner", "corner", "corner", "corner", "roll"].map((kind, i) => this.handle(kind, i));
    onlanguage(() => { for (const [name, label] of this.labels) label.textContent = t(name); });
    stage.drawn.push((screen) => this.update(screen));
  }

  update(screen) {
    const ends = this.selected ? screen.horizon() : null;
    this.horizon.setAttribute("d", ends ? path(ends) : "");
    for (const [name, label] of this.labels) this.name(label, vector(SIDES[name], 2.5), screen);
    this.frame(screen);
    for (const pin of this.pins) put(pin.element, screen.place(vector(pin.yaw, pin.pitch)));
    this.brushLine.setAttribute("d", this.brush ? `${path(screen.outline(cap(this.brush.direction, this.brush.radius)))}Z` : "");
    this.brushLine.classList.toggle("erases", !!this.brush?.erase);
  }

  // Directions are named where nothing is to be seen yet.
  name(label, direction, screen) {
    const { scene } = this.stage, covered = scene.filled || scene.pictures.some((picture) => shows(picture, direction));
    put(label, covered ? null : screen.place(direction));
  }

  // ------------------------------------------------------------------ photographs
  frame(screen) {
    this.frames.replaceChildren(...this.photos.map((photo) => {
      const points = screen.outline(corners(photo));
      return draw("path", { class: photo === this.selected ? "frame selected" : "frame", d: points.length ? `${path(points)}Z` : "" });
    }));
    const photo = this.selected, at = photo ? corners(photo) : [];
    this.handles.forEach((handle, i) => put(handle, photo ? screen.place(i < 4 ? at[i] : this.top(photo)) : null));
  }

  // The direction of the handle that turns the photograph: a little above its upper edge.
  top(photo) {
    const up = Math.tan(photo.fov * RADIANS / 2) * photo.height / photo.width;
    return turned(rotation(photo), [0, up + 0.12 * Math.hypot(1, up), 1]);
  }

  handle(kind, number) {
    const handle = find("labels").appendChild(make("span", { className: `handle ${kind}`, hidden: true }));
    let held = null;
    handle.addEventListener("pointerdown", (event) => {
      handle.setPointerCapture(event.pointerId);
      held = this.selected;
      event.preventDefault();
    });
    handle.addEventListener("pointermove", (event) => {
      if (!held) return;
      const to = this.stage.directionAt(event);
      this.change(held, number < 4 ? { fov: fovTo(held, to) } : { roll: rollTo(held, to) });
    });
    for (const end of ["pointerup", "pointercancel"]) handle.addEventListener(end, () => { held = null; });
    return handle;
  }

  change(photo, values) {
    Object.assign(photo, values);
    this.onphoto(photo);
    this.stage.redraw();
  }

  // The tool that moves photographs; where there is none, the hand looks around.
  get mover() {
    return {
      grab: (_, direction) => {
        const photo = [...this.photos].reverse().find((one) => shows(one, direction));
        if (!photo) return null;
        this.select(photo);
        let last = anglesOf(direction);
        const root = document.documentElement;
        root.classList.add("dragging");
        return {
          move: (event) => {
            const now = anglesOf(this.stage.directionAt(event));
            this.change(photo, { yaw: wrap(photo.yaw + now.yaw - last.yaw), pitch: clamp(photo.pitch + now.pitch - last.pitch, -90, 90) });
            last = now;
          },
          end: () => root.classList.remove("dragging"),
        };
      },
    };
  }

  select(photo) {
    if (this.selected === photo) return;
    this.selected = photo;
    this.onselect?.(photo);
    this.stage.redraw();
  }
}

export function shows(photo, direction) {
  const [x, y, z] = turnedBack(rotation(photo), direction), tangent = Math.tan(photo.fov * RADIANS / 2);
  return z > 0 && Math.abs(x) <= z * tangent && Math.abs(y) <= z * tangent * photo.height / photo.width;
}

// The field of view with which a corner of the photograph lies as far from its middle as a direction.
function fovTo(photo, direction) {
  const cosine = dot(vector(photo.yaw, photo.pitch), direction);
  const radius = Math.tan(Math.min(Math.acos(clamp(cosine, -1, 1)), 85 * RADIANS));
  return clamp(2 * Math.atan(radius / Math.hypot(1, photo.height / photo.width)) / RADIANS, LEAST_FOV, MOST_FOV);
}

function rollTo(photo, direction) {
  const [x, y] = turnedBack(rotation({ ...photo, roll: 0 }), direction), degrees = Math.atan2(x, y) / RADIANS;
  return Math.abs(degrees) < 1 ? 0 : degrees;
}

// The edge of a spherical cap, as directions.
function cap(middle, radius, count = 48) {
  const right = unit(cross(Math.abs(middle[1]) < 0.9 ? [0, 1, 0] : [1, 0, 0], middle)), up = cross(middle, right);
  const [near, far] = [Math.cos(radius * RADIANS), Math.sin(radius * RADIANS)];
  return Array.from({ length: count }, (_, i) => {
    const [c, s] = [Math.cos(2 * Math.PI * i / count) * far, Math.sin(2 * Math.PI * i / count) * far];
    return middle.map((m, k) => m * near + right[k] * c + up[k] * s);
  });
}

// The stage: the sphere on the screen, who looks at it, and the tools that are used on it.

import { Gaze, wrap } from "./look.js";
import { Screen } from "./directions.js";
import { Sphere } from "./sphere.js";
import { find } from "./dom.js";
import { t } from "./locale.js";

const FADE = 500;  // milliseconds in which a painted view appears
const COLOURS = ["sky", "ground", "line", "tint"];

export class Stage {
  constructor() {
    this.canvas = find("sphere");
    this.scene = { pictures: [], colours: {} };
    this.images = {};  // what the textures of the scene were made of
    this.tool = null;  // { grab(event, direction), hover(event, direction), key(name) }
    this.drawn = [];   // told after each picture of the screen: overlays
    this.gaze = new Gaze(this.canvas, { draw: () => this.draw(), extras: { exposure: 0, split: 0 } });
    this.gaze.grab = (event) => this.tool?.grab?.(event, this.directionAt(event)) ?? null;
    this.canvas.addEventListener("pointermove", (event) => this.tool?.hover?.(event, this.directionAt(event)));
    this.canvas.addEventListener("pointerleave", () => this.tool?.hover?.(null, null));
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    this.build();
    this.recolour();
    this.gaze.home = this.gaze.homeFov;
    this.gaze.move({ fov: this.gaze.homeFov });
    this.gaze.view = { ...this.gaze.goal };
    new ResizeObserver(() => this.canvas.clientWidth && this.gaze.resize()).observe(this.canvas);
    this.canvas.addEventListener("webglcontextlost", (event) => { event.preventDefault(); this.gaze.live = false; });
    this.canvas.addEventListener("webglcontextrestored", () => this.restore());
    for (const query of ["(prefers-color-scheme: dark)", "(forced-colors: active)"])
      matchMedia(query).addEventListener("change", () => this.recolour());
  }

  build() {
    this.sphere = new Sphere(this.canvas);
    this.gaze.live = true;
    this.gaze.running = false;
  }

  restore() {
    this.build();
    for (const name of ["panorama", "before"]) this.put(name, this.images[name]);
    for (const picture of this.scene.pictures) picture.texture = this.sphere.texture(picture.image);
    this.scene.mask = null;
    this.mask(this.images.mask);
    this.gaze.resize();
  }

  recolour() {
    const { style } = this.canvas;  // whose colour nothing shows: it says what a variable comes to
    for (const name of COLOURS) {
      style.color = `var(--${name})`;
      this.scene.colours[name] = getComputedStyle(this.canvas).color.match(/[\d.]+/g).slice(0, 3).map((x) => x / 255);
    }
    style.color = "";
    this.redraw();
  }

  // ------------------------------------------------------------------ what is shown
  put(name, image) {
    this.sphere.forget(this.scene[name]);
    this.images[name] = image;
    this.scene[name] = image ? this.sphere.texture(image, { around: true }) : null;
  }

  // Shows a panorama: an image, or light as `aognet/studio/page/radiance.js` reads it; null: the empty sphere.
  show(image) {
    this.put("panorama", image);
    this.scene.filled = !!image;
    this.scene.linear = image?.data instanceof Uint16Array;
    if (!this.scene.linear) this.gaze.move({ exposure: 0 });
    this.redraw();
  }

  // Shows another panorama left of a share of the screen; null: none.
  compare(image) {
    this.put("before", image);
    this.scene.beforeLinear = image?.data instanceof Uint16Array;
    this.gaze.move({ split: image ? 0.5 : 0 });
  }

  mask(mask) {
    this.images.mask = mask;
    this.scene.masked = !!mask;
    if (mask) this.scene.mask = this.sphere.maskTexture(mask, this.scene.mask);
    this.redraw();
  }

  // Lays a picture with a pose on the sphere. Returns it, to be changed and taken away.
  lay(picture) {
    picture.texture = this.sphere.texture(picture.image);
    if (picture.fades) picture.born = performance.now();
    this.scene.pictures.push(picture);
    this.redraw();
    return picture;
  }

  remove(picture) {
    const { pictures } = this.scene, at = pictures.indexOf(picture);
    if (at < 0) return;
    pictures.splice(at, 1);
    this.sphere.forget(picture.texture);
    this.redraw();
  }

  removeAll() { [...this.scene.pictures].forEach((picture) => this.remove(picture)); }

  // ------------------------------------------------------------------ drawing
  get screen() { return new Screen(this.gaze.view, this.gaze.tangents(), this.canvas.clientWidth, this.canvas.clientHeight); }

  // Where one looks, or will once the view has come to rest.
  get ahead() { return { yaw: wrap(this.gaze.goal.yaw), pitch: this.gaze.goal.pitch }; }

  directionAt(event) {
    const box = this.canvas.getBoundingClientRect();
    return this.screen.direction(event.clientX - box.left, event.clientY - box.top);
  }

  redraw() { this.gaze.wake(); }

  draw() {
    if (!this.gaze.live || this.inHeadset) return;
    const { view } = this.gaze;
    this.sphere.draw(view, this.gaze.tangents(), this.now(), {});
    for (const work of this.drawn) work(this.screen, view);
  }

  // The scene at this moment: views that appear are drawn again until they are there.
  now() {
    const time = performance.now(), { view, still } = this.gaze;
    let appearing = false;
    for (const picture of this.scene.pictures) {
      if (!picture.born) continue;
      picture.alpha = still.matches ? 1 : Math.min(1, (time - picture.born) / FADE);
      if (picture.alpha === 1) picture.born = 0;
      else appearing = true;
    }
    if (appearing) requestAnimationFrame(() => this.redraw());
    return { ...this.scene, exposure: view.exposure, split: view.split };
  }

  // ------------------------------------------------------------------ keys
  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const action = (this.tool?.keys?.[name] && (() => this.tool.keys[name]())) || this.gaze.keys[name] || this.keys?.[name];
    if (!action) return;
    event.preventDefault();
    action();
  }

  use(tool) {
    this.tool?.leave?.();
    this.tool = tool;
    this.canvas.classList.toggle("tool", !!tool?.draws);
    find("hint").textContent = tool?.hint ? t(tool.hint) : "";
    this.redraw();
  }
}

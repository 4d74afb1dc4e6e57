// The page: which part of the panel is shown, and what all parts share.

import { Brush } from "./brush.js";
import { Change } from "./change.js";
import { Exporting } from "./exporting.js";
import { Gyroscope } from "./gyroscope.js";
import { Headset } from "./headset.js";
import { Library } from "./library.js";
import { Make } from "./make.js";
import { Overlay } from "./overlay.js";
import { Painting } from "./painting.js";
import { Problem, ask, gate } from "./api.js";
import { Stage } from "./stage.js";
import { choose, language, preferred, speak, t, LANGUAGES } from "./locale.js";
import { find, remember, remembered, say } from "./dom.js";
import { RADIANS } from "./look.js";

const PAGES = ["make", "painting", "change"];

class Studio {
  constructor() {
    this.stage = new Stage();
    this.overlay = new Overlay(this.stage);
    this.brush = new Brush(this.stage, this.overlay, () => this.brushed());
    this.make = new Make(this);
    this.painting = new Painting(this);
    this.change = new Change(this);
    this.library = new Library(this);
    this.exporting = new Exporting(this);
    // Whoever looks around by hand is not turned to what is being painted.
    for (const kind of ["pointerdown", "wheel", "keydown"]) this.stage.canvas.addEventListener(kind, () => { this.touched = true; });
    this.page = null;
  }

  brushed() { (this.page === "make" ? this.make.changed() : this.change.tell()); }

  // Shows a page of the panel.
  show(name) {
    if (this.page !== name) this[this.page]?.leave?.();
    this.page = name;
    for (const page of PAGES) find(page).hidden = page !== name;
    document.documentElement.classList.remove("folded");
    find(name).querySelector(".scroll").scrollTop = 0;
    this.touched = false;
  }

  go(name) {
    this.show(name);
    this.stage.use(null);
    if (name === "make") {
      this.stage.removeAll();
      this.make.start();
      this.address("");
    }
  }

  // Follows a job on the sphere. `fresh`: the page was opened with it.
  watch(job, fresh = false) {
    this.show("painting");
    this.stage.use(null);
    this.brush.show();
    this.address(`job=${job.id}`);
    this.painting.watch(job, fresh).catch(failed);
  }

  async open(id) {
    try {
      await this.change.open(id);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      say(error.message, "wrong");
      return this.go("make");
    }
    if (this.page === "painting" && !this.touched) this.stage.gaze.reset();
    this.show("change");
    this.overlay.selected = null;
    this.address(`panorama=${id}`);
  }

  gone(id) { if (this.change.panorama?.id === id && this.page === "change") this.go("make"); }

  address(hash) { history.replaceState(null, "", hash ? `#${hash}` : location.pathname); }

  // The page that the address names.
  async follow() {
    const asked = new URLSearchParams(location.hash.slice(1));
    if (asked.get("panorama")) return this.open(asked.get("panorama"));
    if (!asked.get("job")) return this.go("make");
    const job = await ask(`jobs/${asked.get("job")}`).catch(() => null);
    if (!job) return this.go("make");
    if (job.state === "done") return this.open(job.panorama_id);
    if (job.parent_id) await this.change.open(job.panorama_id);
    this.watch(job, true);
  }
}

function failed(error) {
  say(error instanceof Problem && error.status ? error.message : t("offline"), "wrong");
}

// ------------------------------------------------------------------ what lies around
function theme({ stage }) {
  const root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)");
  find("theme").addEventListener("click", () => {
    const isDark = root.classList.contains("dark") || (dark.matches && !root.classList.contains("light"));
    root.classList.remove("dark", "light");
    root.classList.add(isDark ? "light" : "dark");
    remember("theme", isDark ? "light" : "dark");
    stage.recolour();
  });
}

function controls({ stage }) {
  const { gaze } = stage, slider = find("exposure");
  const fill = () => document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen().catch(() => {});
  find("fullscreen").hidden = !document.fullscreenEnabled;
  find("fullscreen").addEventListener("click", fill);
  find("reset").addEventListener("click", () => gaze.reset());
  const expose = (stops) => {
    gaze.move({ exposure: Math.max(+slider.min, Math.min(+slider.max, stops)) });
    slider.value = gaze.goal.exposure;
    find("stops").textContent = (gaze.goal.exposure > 0 ? "+" : "") + gaze.goal.exposure.toFixed(1);
  };
  slider.addEventListener("input", () => expose(+slider.value));
  const light = (change) => stage.scene.linear && expose(gaze.goal.exposure + change);
  stage.keys = { f: () => document.fullscreenEnabled && fill(), "[": () => light(-0.5), "]": () => light(0.5) };
  stage.drawn.push((_, view) => {
    const x = 13 * Math.sin(view.fov * RADIANS / 2), y = -13 * Math.cos(view.fov * RADIANS / 2);
    find("wedge").setAttribute("d", `M0 0L${-x} ${y}A13 13 0 0 1 ${x} ${y}Z`);
    find("wedge").setAttribute("transform", `rotate(${view.yaw})`);
  });
}

function dropping(studio) {
  const root = document.documentElement, isFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  let depth = 0;
  const shade = (change) => root.classList.toggle("dropping", (depth = Math.max(0, depth + change)) > 0);
  addEventListener("dragenter", (event) => isFiles(event) && shade(1));
  addEventListener("dragleave", (event) => isFiles(event) && shade(-1));
  addEventListener("dragover", (event) => isFiles(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    if (!isFiles(event)) return;
    event.preventDefault();
    shade(-Infinity);
    take(studio, [...event.dataTransfer.files]);
  });
  addEventListener("paste", (event) => take(studio, [...(event.clipboardData?.files ?? [])]));
}

function take(studio, files) {
  const images = files.filter(({ type, name }) => type.startsWith("image/") || /\.hei[cf]$/i.test(name));
  if (!images.length) return files.length && say(t("no image"), "wrong");
  if (studio.page === "painting") return;
  if (studio.page !== "make") studio.go("make");
  studio.make.photos.add(images);
}

function token() {
  const dialog = find("token");
  find("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    dialog.close(find("token-value").value);
  });
  gate.open = (again) => new Promise((answer) => {
    find("token-lead").textContent = t(again ? "token.wrong" : "token.lead");
    dialog.returnValue = find("token-value").value = "";
    dialog.onclose = () => answer(dialog.returnValue || null);
    dialog.showModal();
  });
}

async function begin() {
  if (remembered("theme", null)) document.documentElement.classList.add(remembered("theme"));
  await speak(preferred());
  const studio = new Studio();
  theme(studio);
  controls(studio);
  dropping(studio);
  token();
  new Gyroscope(studio.stage);
  new Headset(studio.stage);
  find("language").addEventListener("click", () => choose(Object.keys(LANGUAGES).find((name) => name !== language)));
  find("new").addEventListener("click", () => { studio.make.clear(); studio.go("make"); });
  find("fold").addEventListener("click", () => {
    const folded = document.documentElement.classList.toggle("folded");
    find("fold").setAttribute("aria-expanded", !folded);
  });
  for (const dialog of document.querySelectorAll("dialog")) {
    for (const close of dialog.querySelectorAll(".close")) close.addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  }
  studio.stage.canvas.setAttribute("aria-label", t("stage.keys"));
  await speak(language);  // once more, for what was made meanwhile
  addEventListener("hashchange", () => studio.follow().catch(failed));
  const followed = studio.follow().catch(failed);
  document.documentElement.classList.add("ready");
  await Promise.all([followed, studio.make.load().catch(failed)]);
}

begin().catch(() => {
  document.documentElement.classList.add("ready", "flat");
  find("hint").textContent = t("no webgl");
});

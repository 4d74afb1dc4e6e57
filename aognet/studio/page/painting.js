// The second page of the panel: a job is painted, and its views appear on the sphere.

import { Problem, ask, events, picture, send } from "./api.js";
import { find, say } from "./dom.js";
import { duration, onlanguage, t } from "./locale.js";

const OPEN = new Set(["queued", "running"]);

export class Painting {
  constructor(studio) {
    Object.assign(this, { studio, job: null, stop: () => {} });
    find("cancel").addEventListener("click", () => this.cancel());
    find("back").addEventListener("click", () => this.back());
    find("again").addEventListener("click", () => this.again());
    onlanguage(() => this.job && this.tell());
  }

  // Follows a job. `fresh`: its inputs are not on the stage yet.
  async watch(job, fresh = false) {
    this.leave();
    Object.assign(this, { job, progress: job.progress, left: null, views: new Map() });
    find("painting-words").textContent = job.prompt;
    this.tell();
    if (fresh) await this.lay(job);
    if (this.job !== job) return;
    this.stop = events(job.id, (kind, data) => this.job === job && this.hear(kind, data));
  }

  // Puts on the stage what a job starts from.
  async lay({ body }) {
    const { stage } = this.studio;
    stage.removeAll();
    if (body.panorama) stage.show(await picture(`uploads/${body.panorama.upload}/image`));
    for (const { upload, fov, ...pose } of body.photos ?? []) {
      const image = await picture(`uploads/${upload}/image`);
      stage.lay({ image, width: image.width, height: image.height, fov: fov ?? 90, ...pose });
    }
  }

  hear(kind, data) {
    if (kind === "state") this.state(data);
    if (kind === "progress") [this.progress, this.left] = [data, data.seconds_left];
    if (kind === "view") this.appear(data);
    if (kind === "preview") this.preview(data);
    this.tell();
  }

  async appear({ index, camera, preview }) {
    if (this.views.has(index)) return;
    this.views.set(index, camera);
    const { job, studio: { stage } } = this;
    const image = await picture(preview).catch(() => null);
    if (!image || this.job !== job) return;
    const pose = { yaw: camera.yaw_degrees, pitch: camera.pitch_degrees, roll: camera.roll_degrees, fov: camera.fov_degrees };
    // What is known is never painted over: photographs lie above all views, and views above later ones.
    stage.lay({ image, ...pose, width: camera.width, height: camera.height, margin: camera.margin, fades: true, order: index + 1 });
    stage.scene.pictures.sort((a, b) => (b.order ?? 0) - (a.order ?? 0));
    stage.scene.pictures.sort((a, b) => !a.order - !b.order);
    if (!this.studio.touched) stage.gaze.turn({ yaw: pose.yaw, pitch: Math.max(-40, Math.min(40, pose.pitch)) }, 0.6);
  }

  // What was made before views are painted: a whole panorama, or which parts of it are drawn anew.
  async preview({ step, preview }) {
    const { job, studio: { stage } } = this, image = await picture(preview).catch(() => null);
    if (!image || this.job !== job) return;
    if (step === "seams") return stage.mask(maskOf(image));
    stage.removeAll();
    stage.show(image);
  }

  async state({ state }) {
    const { job } = this;
    job.state = state;
    if (OPEN.has(state)) return;
    this.stop();
    const ended = await ask(`jobs/${job.id}`).catch(() => null);
    if (this.job !== job) return;
    Object.assign(job, ended);
    if (job.state === "done") {
      this.job = null;
      say(t("painted"));
      return this.studio.open(job.panorama_id);
    }
    if (job.state === "cancelled") {
      say(t("cancelled"));
      return this.back();
    }
    this.tell();
  }

  tell() {
    const { job, progress, left } = this, failed = job.state === "failed", { done = 0, total = 0 } = progress ?? {};
    find("painting-title").textContent = t(`state.${job.state}`);
    const bar = find("progress"), part = progress?.steps ? progress.step / progress.steps : 0;
    bar.hidden = failed;
    const counted = job.state === "running" && total > 1, now = Math.min(done + (done < total ? 1 : 0), total);
    if (counted) bar.value = Math.min(1, (done + (done < total ? part : 0)) / total);
    else bar.removeAttribute("value");
    const parts = [];
    if (job.state === "queued" && job.waiting) parts.push(t("waiting", { n: job.waiting }));
    if (job.state === "running") parts.push(counted ? t(progress.stage === "views" ? "views" : "steps", { done: now, total }) : t("preparing"));
    if (counted && left) parts.push(t("left", { time: duration(left) }));
    find("painting-state").textContent = parts.join(" · ");
    find("painting-error").hidden = !failed;
    find("painting-error").textContent = failed ? job.error ?? "" : "";
    for (const [id, hidden] of [["cancel", failed], ["back", !failed], ["again", !failed]]) find(id).hidden = hidden;
    find("cancel").disabled = !OPEN.has(job.state);
  }

  async cancel() {
    const { job } = this;
    find("cancel").disabled = true;
    try {
      await send(`jobs/${job.id}/cancel`, {});
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      say(error.message, "wrong");
    }
  }

  // To where the job was asked for: a panorama that is there, or the page where one is made.
  async back() {
    const { job } = this;
    this.leave();
    this.studio.stage.removeAll();
    if (job.parent_id) await this.studio.open(job.panorama_id);
    else this.studio.go("make");
  }

  async again() {
    const { body } = this.job;
    this.watch(await send("jobs", body));
  }

  leave() {
    this.stop();
    this.job = null;
  }
}

// A picture that is white where something is painted, as a mask.
function maskOf(image) {
  const { width, height } = image, canvas = new OffscreenCanvas(width, height), context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  return { width, height, pixels: Uint8Array.from({ length: width * height }, (_, i) => data[4 * i] > 127 ? 255 : 0) };
}

// Headsets: the panorama around whoever wears one, by WebXR.

import { find, say } from "./dom.js";
import { t } from "./locale.js";

// What an eye sees, from the matrices of WebXR (columns, x right, y up, -z forward): tangents of half the fields of view,
// the shift of their middle, and the camera-to-world matrix of our axes (rows, z forward).
export function eyeOf(projection, transform) {
  const tangents = [1 / projection[0], 1 / projection[5]];
  const shift = [projection[8] * tangents[0], projection[9] * tangents[1]];
  const [right, up, back] = [0, 4, 8].map((at) => [transform[at], transform[at + 1], -transform[at + 2]]);
  return { tangents, shift, matrix: [0, 1, 2].flatMap((row) => [right[row], up[row], -back[row]]) };
}

export class Headset {
  constructor(stage) {
    Object.assign(this, { stage, session: null });
    find("headset").addEventListener("click", () => this.toggle());
    navigator.xr?.isSessionSupported("immersive-vr").then((there) => { find("headset").hidden = !there; }, () => {});
  }

  async toggle() {
    if (this.session) return this.session.end();
    try {
      const { gl } = this.stage.sphere, session = await navigator.xr.requestSession("immersive-vr");
      await gl.makeXRCompatible();
      session.updateRenderState({ baseLayer: new XRWebGLLayer(session, gl) });
      this.space = await session.requestReferenceSpace("local");
      this.session = session;
      this.stage.inHeadset = true;
      session.addEventListener("end", () => this.end());
      session.requestAnimationFrame((_, frame) => this.draw(frame));
      find("headset").setAttribute("aria-pressed", true);
    } catch {
      say(t("headset.failed"), "wrong");
    }
  }

  draw(frame) {
    const { session, stage } = this, { gl } = stage.sphere, pose = frame.getViewerPose(this.space);
    session.requestAnimationFrame((_, next) => this.draw(next));
    if (!pose) return;
    const layer = session.renderState.baseLayer;
    gl.bindFramebuffer(gl.FRAMEBUFFER, layer.framebuffer);
    for (const view of pose.views) {
      const { x, y, width, height } = layer.getViewport(view), { tangents, shift, matrix } = eyeOf(view.projectionMatrix, view.transform.matrix);
      stage.sphere.draw(stage.gaze.view, tangents, { ...stage.now(), split: 0 }, { viewport: [x, y, width, height], shift, matrix });
    }
  }

  end() {
    const { gl } = this.stage.sphere;
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    this.session = null;
    this.stage.inHeadset = false;
    find("headset").setAttribute("aria-pressed", false);
    this.stage.redraw();
  }
}

// Looking around in a sphere: what every page of ours shares that shows a panorama.
//
// Angles are in degrees: yaw + turns right, pitch + looks up, roll + turns clockwise, fov is horizontal. World and camera
// axes are x right, y up, z forward. The middle of a panorama is straight ahead, and pixel centres are as everywhere.

export const VERTEX = `#version 300 es
out vec2 place;
void main() {  // one triangle that covers the screen
  place = vec2(gl_VertexID & 1, gl_VertexID >> 1) * 4.0 - 1.0;
  gl_Position = vec4(place, 0.0, 1.0);
}`;

export const SAMPLING = `
const float PI = 3.14159265358979;

// Mitchell and Netravali's cubic (1988, B = C = 1/3) in nine bilinear taps: it magnifies small panoramas without the
// diamonds of bilinear filtering and without the stairs of sharper cubics.
vec2 mitchell_inner(vec2 x) { return (x * x * (7.0 * x - 12.0) + 16.0 / 3.0) / 6.0; }
vec2 mitchell_outer(vec2 x) { return (x * (x * (12.0 - 7.0 / 3.0 * x) - 20.0) + 32.0 / 3.0) / 6.0; }
vec3 bicubic(sampler2D picture, vec2 uv, vec2 size) {
  vec2 middle = floor(uv * size - 0.5) + 0.5, f = uv * size - middle;
  vec2 w0 = mitchell_outer(1.0 + f), w1 = mitchell_inner(f), w2 = mitchell_inner(1.0 - f), w3 = mitchell_outer(2.0 - f);
  vec2 w12 = w1 + w2;
  vec2 at[3] = vec2[](middle - 1.0, middle + w2 / w12, middle + 2.0);
  vec2 weight[3] = vec2[](w0, w12, w3);
  vec3 sum = vec3(0.0);
  for (int i = 0; i < 3; i++) for (int j = 0; j < 3; j++)
    sum += weight[i].x * weight[j].y * textureLod(picture, vec2(at[i].x, at[j].y) / size, 0.0).rgb;
  return max(sum, 0.0);
}

vec3 toLight(vec3 c) { return mix(c / 12.92, pow((c + 0.055) / 1.055, vec3(2.4)), step(0.04045, c)); }
vec3 toDisplay(vec3 l) { return mix(l * 12.92, 1.055 * pow(l, vec3(1.0 / 2.4)) - 0.055, step(0.0031308, l)); }

vec2 placeOf(vec3 ray) { return vec2(atan(ray.x, ray.z) / (2.0 * PI) + 0.5, 0.5 - atan(ray.y, length(ray.xz)) / PI); }

// The level of detail follows the ray, not the place: the place jumps at the wrap, and the jump would draw a seam.
float angleOfPixel(vec3 ray) { return max(length(dFdx(ray)), length(dFdy(ray))); }
float levelOf(sampler2D picture, float angle) { return log2(angle * float(textureSize(picture, 0).y) / PI); }
vec3 seen(sampler2D picture, vec2 uv, float angle) {
  float level = levelOf(picture, angle);
  vec3 rgb = textureLod(picture, uv, max(level, 0.0)).rgb;
  return level < 0.0 ? mix(rgb, bicubic(picture, uv, vec2(textureSize(picture, 0))), smoothstep(0.0, -0.5, level)) : rgb;
}`;

export const RADIANS = Math.PI / 180;
export const clamp = (x, low, high) => Math.min(Math.max(x, low), high);
export const wrap = (degrees) => ((degrees + 180) % 360 + 360) % 360 - 180;

// Camera to world, as rows: roll first, then pitch, then yaw.
export function rotation({ yaw = 0, pitch = 0, roll = 0 }) {
  const [sa, ca, sb, cb, sc, cc] = [yaw, pitch, roll].flatMap((x) => [Math.sin(x * RADIANS), Math.cos(x * RADIANS)]);
  return [
    ca * cc + sa * sb * sc, ca * sc - sa * sb * cc, sa * cb,
    -cb * sc, cb * cc, sb,
    ca * sb * sc - sa * cc, -sa * sc - ca * sb * cc, ca * cb,
  ];
}

export const columns = (m) => [m[0], m[3], m[6], m[1], m[4], m[7], m[2], m[5], m[8]];

export function compile(gl, vertex, fragment) {
  const program = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program));
  const uniforms = {};
  for (let i = 0; i < gl.getProgramParameter(program, gl.ACTIVE_UNIFORMS); i++) {
    const { name } = gl.getActiveUniform(program, i);
    uniforms[name] = gl.getUniformLocation(program, name);
  }
  return { program, uniforms };
}

// A picture no wider than the graphics card takes.
export function fitting(picture, limit) {
  const [width, height] = [picture.naturalWidth || picture.width, picture.naturalHeight || picture.height];
  const scale = Math.min(1, limit / Math.max(width, height));
  if (scale === 1) return picture;
  const small = document.createElement("canvas");
  [small.width, small.height] = [Math.round(width * scale), Math.round(height * scale)];
  small.getContext("2d").drawImage(picture, 0, 0, small.width, small.height);
  return small;
}

// Where a person looks, and the hands that turn it. `view` is what is on the screen, `goal` where it is going; both also
// hold the numbers of `extras`, which move as smoothly. A page says how it draws and which bounds its extras have.
export class Gaze {
  constructor(canvas, { draw, extras = {}, bound = () => {}, moved = () => {}, rested = () => {} }) {
    Object.assign(this, { canvas, draw, extras, boundExtras: bound, moved, rested });
    this.view = { yaw: 0, pitch: 0, roll: 0, fov: 90, ...extras };
    this.goal = { ...this.view };
    this.pace = 0.09;  // seconds in which the view covers 63% of the way to the goal
    this.live = this.running = this.held = false;
    this.coarseness = this.swift = 0;  // while the view moves, on computers that draw slowly
    this.last = 0;
    this.home = 90;
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    this.grab = () => null;  // a tool: takes a pointer that goes down and returns { move(event), end(event, kept) }
    this.listen();
  }

  get aspect() { return this.canvas.clientHeight / this.canvas.clientWidth || 1; }
  across(vertical) { return 2 * Math.atan(Math.tan(vertical * RADIANS / 2) / this.aspect) / RADIANS; }
  get homeFov() { return Math.min(90, this.across(100)); }  // on an upright phone 90 degrees across would be a fisheye

  bound(state) {
    state.pitch = clamp(state.pitch, -90, 90);
    state.fov = clamp(state.fov, 15, Math.min(120, this.across(140)));
    this.boundExtras(state);
  }

  tangents() {
    const tangent = Math.tan(this.view.fov * RADIANS / 2);
    return [tangent, tangent * this.aspect];
  }

  frame(now) {
    if (!this.live) return;  // the context was lost meanwhile
    this.adapt(performance.now() - this.last);
    const share = this.still.matches ? 1 : 1 - Math.exp(-clamp((now - this.last) / 1000, 0.001, 0.1) / this.pace);
    this.last = now;
    let left = 0;
    for (const key in this.view) {
      const way = this.goal[key] - this.view[key];
      left = Math.max(left, Math.abs(way) * (key in this.extras ? 10 : 1));
      this.view[key] += way * share;
    }
    this.running = left > 0.01;
    if (!this.running) {
      this.goal.yaw = wrap(this.goal.yaw);
      this.view = { ...this.goal };
      this.rested();
    }
    this.fit();
    this.draw();
    if (this.running) requestAnimationFrame((time) => this.frame(time));
  }

  wake() {
    if (this.running || !this.live) return;
    this.running = true;
    this.last = performance.now();
    requestAnimationFrame((time) => this.frame(time));
  }

  move(change, seconds = 0.09) {
    this.pace = seconds;
    Object.assign(this.goal, change);
    this.bound(this.goal);
    this.moved();
    this.wake();
  }

  // Turns there the short way round.
  turn(change, seconds = 0.18) {
    const yaw = this.view.yaw + wrap((change.yaw ?? this.goal.yaw) - this.view.yaw);
    this.move({ ...change, yaw }, seconds);
  }

  reset() { this.turn({ yaw: 0, pitch: 0, fov: this.homeFov }); }

  // Where the screen waits long for a picture, what moves is drawn coarser; what rests is always sharp.
  adapt(waited) {
    if (!this.running && !this.held) return;
    this.swift = waited < 24 ? this.swift + 1 : 0;
    if (waited > 48) this.coarseness = Math.min(this.coarseness + 1, 4);
    if (this.swift > 30) [this.coarseness, this.swift] = [Math.max(this.coarseness - 1, 0), 0];
  }

  fit() {
    const density = Math.min(devicePixelRatio || 1, 2) * (this.running || this.held ? Math.SQRT1_2 ** this.coarseness : 1);
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight].map((side) => Math.max(1, Math.round(side * density)));
    if (this.canvas.width !== width || this.canvas.height !== height) [this.canvas.width, this.canvas.height] = [width, height];
  }

  // After the canvas's size changed. A view that was at home stays there.
  resize() {
    this.fit();
    for (const state of [this.view, this.goal]) {
      if (Math.abs(state.fov - this.home) < 1e-6) state.fov = this.homeFov;
      this.bound(state);
    }
    this.home = this.homeFov;
    this.draw();
  }

  // ------------------------------------------------------------------ hands
  listen() {
    const { canvas } = this, root = document.documentElement, pointers = new Map();
    let speed = { yaw: 0, pitch: 0 }, touched = 0, tool = null;
    const middle = () => {
      const all = [...pointers.values()], [p, q] = [all[0], all[1] || all[0]];
      return { x: (p.x + q.x) / 2, y: (p.y + q.y) / 2, spread: Math.hypot(p.x - q.x, p.y - q.y) };
    };
    const stop = () => {  // a finger stops a glide
      speed = { yaw: 0, pitch: 0 };
      const { yaw, pitch, fov } = this.view;
      Object.assign(this.goal, { yaw, pitch, fov });
    };

    canvas.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      canvas.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      this.held = true;
      if (tool) [tool] = [null, tool.end(event, false)];  // a second finger: it was no use of the tool, but a pinch
      else if (pointers.size === 1) tool = this.grab(event);
      if (!tool) root.classList.add("dragging");
      stop();
    });

    canvas.addEventListener("pointermove", (event) => {
      if (!pointers.has(event.pointerId)) return;
      const before = middle();
      pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      if (tool) return tool.move(event);
      const now = middle(), seconds = Math.max(event.timeStamp - touched, 1) / 1000;
      // What lies in the middle of the screen keeps up with the hand; near the poles a turn moves it less.
      const degrees = 2 * Math.tan(this.view.fov * RADIANS / 2) / canvas.clientWidth / RADIANS;
      const yaw = -(now.x - before.x) * degrees / Math.max(Math.cos(this.view.pitch * RADIANS), 0.3);
      const pitch = (now.y - before.y) * degrees;
      const keep = Math.exp(-seconds / 0.05);
      speed = { yaw: speed.yaw * keep + yaw / seconds * (1 - keep), pitch: speed.pitch * keep + pitch / seconds * (1 - keep) };
      touched = event.timeStamp;
      const zoom = pointers.size > 1 && now.spread > 0 ? before.spread / now.spread : 1;
      this.move({ yaw: this.goal.yaw + yaw, pitch: this.goal.pitch + pitch, fov: this.goal.fov * zoom });
      ({ yaw: this.view.yaw, pitch: this.view.pitch, fov: this.view.fov } = this.goal);
    });

    const release = (event) => {
      if (!pointers.delete(event.pointerId) || pointers.size) return;
      this.held = false;
      if (this.coarseness) this.wake();
      if (tool) {
        tool = void tool.end(event, event.type === "pointerup");
        return;
      }
      root.classList.remove("dragging");
      const glides = event.type === "pointerup" && event.timeStamp - touched < 60 && !this.still.matches;
      // The glide starts at the speed of the hand: distance = speed * pace.
      if (glides) this.move({ yaw: this.goal.yaw + speed.yaw * 0.25, pitch: this.goal.pitch + speed.pitch * 0.25 }, 0.25);
    };
    canvas.addEventListener("pointerup", release);
    canvas.addEventListener("pointercancel", release);

    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      const lines = event.deltaY * (event.deltaMode ? 30 : 1) * (event.ctrlKey ? 6 : 1);  // ctrl: a trackpad's pinch
      this.move({ fov: this.goal.fov * Math.exp(clamp(lines, -300, 300) * 0.0015) });
    }, { passive: false });
    canvas.addEventListener("dblclick", () => this.move({ fov: this.goal.fov * 0.6 }, 0.15));
  }

  // What the keys do that look around, by name.
  get keys() {
    const { goal } = this, step = goal.fov / 9;
    return {
      ArrowLeft: () => this.move({ yaw: goal.yaw - step }), ArrowRight: () => this.move({ yaw: goal.yaw + step }),
      ArrowUp: () => this.move({ pitch: goal.pitch + step }), ArrowDown: () => this.move({ pitch: goal.pitch - step }),
      "+": () => this.move({ fov: goal.fov / 1.15 }), "-": () => this.move({ fov: goal.fov * 1.15 }),
      "=": () => this.move({ fov: goal.fov / 1.15 }), "_": () => this.move({ fov: goal.fov * 1.15 }),
      r: () => this.reset(),
    };
  }
}

// Draws the sphere: the panorama, the one before it, the mask, and photographs and views that lie on it.

import { SAMPLING, VERTEX, columns, compile, fitting, rotation } from "./look.js";
import { halves } from "./directions.js";

const BACKGROUND = `#version 300 es
precision highp float;
in vec2 place;
out vec4 color;
uniform mat3 view;          // camera to world
uniform vec2 tangents;      // of half the fields of view
uniform vec2 shift;         // of the middle of the screen, for headsets
uniform sampler2D panorama;
uniform sampler2D before;
uniform bool filled, linear, beforeLinear;
uniform float split;        // share of the screen, from the left, that shows what was before
uniform float exposure;     // stops
uniform sampler2D mask;
uniform bool masked;
uniform vec3 sky, ground, line, tint;
${SAMPLING}

// Narkowicz's fit of ACES (2016): light beyond white keeps its shades.
vec3 filmic(vec3 x) { return clamp(x * (2.51 * x + 0.03) / (x * (2.43 * x + 0.59) + 0.14), 0.0, 1.0); }

vec3 shown(sampler2D picture, vec2 uv, float angle, bool isLight) {
  vec3 rgb = seen(picture, uv, angle);
  if (isLight) return toDisplay(filmic(rgb * exp2(exposure) * 0.8));
  rgb = min(rgb, 1.0);
  return exposure == 0.0 ? rgb : toDisplay(min(toLight(rgb) * exp2(exposure), 1.0));
}

// Sky and ground with lines every 30 degrees, where nothing was painted yet.
vec3 empty(vec3 ray, float angle) {
  float latitude = atan(ray.y, length(ray.xz)), longitude = atan(ray.x, ray.z), step = PI / 6.0;
  vec3 rgb = mix(ground, sky, smoothstep(-0.5, 0.5, latitude));
  float across = abs(latitude - round(latitude / step) * step) / angle;
  float along = abs(longitude - round(longitude / step) * step) * cos(latitude) / angle;
  float grid = (1.0 - smoothstep(0.4, 1.4, min(across, along))) * smoothstep(1.5, 1.2, abs(latitude)) * 0.5;
  return mix(rgb, line, max(grid, 1.0 - smoothstep(0.8, 1.8, abs(latitude) / angle)));
}

void main() {
  vec3 ray = normalize(view * vec3(place * tangents + shift, 1.0));
  vec2 uv = placeOf(ray);
  float angle = angleOfPixel(ray);
  vec3 rgb = empty(ray, angle);
  if (filled) rgb = place.x * 0.5 + 0.5 < split ? shown(before, uv, angle, beforeLinear) : shown(panorama, uv, angle, linear);
  if (masked) {
    vec2 pixel = 1.0 / vec2(textureSize(mask, 0));  // a mean over some pixels, so that the edge has no stairs
    float inside = 0.0;
    for (int i = -1; i <= 1; i++) for (int j = -1; j <= 1; j++) inside += textureLod(mask, uv + vec2(i, j) * pixel, 0.0).r / 9.0;
    float wide = 0.7 * angle / PI / pixel.y;
    float edge = 1.0 - smoothstep(0.0, clamp(wide, 0.15, 1.0), abs(inside - 0.5) * 2.0);
    rgb = mix(rgb, tint, smoothstep(0.4, 0.6, inside) * 0.5);
    rgb = mix(rgb, vec3(1.0), edge * 0.9);
  }
  color = vec4(rgb, 1.0);
}`;

const CORNER = `#version 300 es
uniform mat3 toView;        // photo to camera
uniform vec2 halves;        // tangents of half the photo's fields of view
uniform vec2 tangents, shift, shown;  // shown: share of width and height, the rest is cut off
out vec2 uv;
void main() {
  vec2 corner = (vec2(gl_VertexID & 1, gl_VertexID >> 1) * 2.0 - 1.0) * shown;
  vec3 p = toView * vec3(corner * halves, 1.0);
  uv = vec2(corner.x, -corner.y) * 0.5 + 0.5;
  gl_Position = vec4((p.xy - shift * p.z) / tangents, 0.0, p.z);
}`;

const PICTURE = `#version 300 es
precision highp float;
in vec2 uv;
out vec4 color;
uniform sampler2D picture;
uniform float alpha;
uniform vec2 part;  // as shown, of the vertices
void main() {
  vec2 edge = (part * 0.5 - abs(uv - 0.5)) / fwidth(uv);
  color = vec4(texture(picture, uv).rgb, 1.0) * alpha * clamp(min(edge.x, edge.y) + 0.5, 0.0, 1.0);
}`;

const NOTHING = { filled: false, linear: false, beforeLinear: false, split: 0, exposure: 0, masked: false };

export class Sphere {
  constructor(canvas) {
    const options = { alpha: false, antialias: false, depth: false, powerPreference: "low-power" };
    const gl = this.gl = canvas.getContext("webgl2", options);
    if (!gl) throw new Error("WebGL 2 is missing");
    this.canvas = canvas;
    this.reducesLight = gl.getExtension("EXT_color_buffer_float") || gl.getExtension("EXT_color_buffer_half_float");
    this.limit = gl.getParameter(gl.MAX_TEXTURE_SIZE);
    this.background = compile(gl, VERTEX, BACKGROUND);
    this.quad = compile(gl, CORNER, PICTURE);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.useProgram(this.background.program);
    ["panorama", "before", "mask"].forEach((name, unit) => gl.uniform1i(this.background.uniforms[name], unit));
    this.blank = this.texture({ width: 1, height: 1, data: new Uint8Array(4) });
    this.textures = [this.blank, this.blank, this.blank];
  }

  // A texture of an image, a canvas, or {width, height, data}: RGBA as bytes or, in a Uint16Array, half floats.
  texture(picture, { around = false } = {}) {
    const { gl } = this, texture = gl.createTexture();
    gl.activeTexture(gl.TEXTURE3);
    gl.bindTexture(gl.TEXTURE_2D, texture);
    const light = picture.data instanceof Uint16Array;
    if (light) {
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA16F, picture.width, picture.height, 0, gl.RGBA, gl.HALF_FLOAT, picture.data);
    } else if (picture.data instanceof Uint8Array) {
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, picture.width, picture.height, 0, gl.RGBA, gl.UNSIGNED_BYTE, picture.data);
    } else {
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, fitting(picture, this.limit));
    }
    const small = !light || this.reducesLight;
    if (small) gl.generateMipmap(gl.TEXTURE_2D);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, around ? gl.REPEAT : gl.CLAMP_TO_EDGE);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, small ? gl.LINEAR_MIPMAP_LINEAR : gl.LINEAR);
    return texture;
  }

  forget(texture) { if (texture && texture !== this.blank) this.gl.deleteTexture(texture); }

  // The texture of a mask, or new pixels for it.
  maskTexture(mask, texture = null) {
    const { gl } = this;
    gl.activeTexture(gl.TEXTURE3);
    gl.bindTexture(gl.TEXTURE_2D, texture || (texture = gl.createTexture()));
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.R8, mask.width, mask.height, 0, gl.RED, gl.UNSIGNED_BYTE, mask.pixels);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR);
    return texture;
  }

  // Draws what `scene` says: { panorama, before, mask: textures, ... as in NOTHING, pictures: [{ texture, yaw, pitch,
  // roll, fov, width, height, alpha, margin }], colours: { sky, ground, line, tint } } as a camera sees it.
  draw(view, tangents, scene, { viewport = [0, 0, this.canvas.width, this.canvas.height], shift = [0, 0], matrix = rotation(view) } = {}) {
    const { gl } = this, { program, uniforms } = this.background;
    gl.viewport(...viewport);
    gl.disable(gl.BLEND);
    gl.useProgram(program);
    [scene.panorama, scene.before, scene.mask].forEach((texture, unit) => {
      gl.activeTexture(gl.TEXTURE0 + unit);
      gl.bindTexture(gl.TEXTURE_2D, texture || this.blank);
    });
    gl.uniformMatrix3fv(uniforms.view, false, columns(matrix));
    gl.uniform2fv(uniforms.tangents, tangents);
    gl.uniform2fv(uniforms.shift, shift);
    for (const name in NOTHING) {
      const value = scene[name] ?? NOTHING[name];
      if (typeof NOTHING[name] === "boolean") gl.uniform1i(uniforms[name], +value);
      else gl.uniform1f(uniforms[name], value);
    }
    for (const [name, rgb] of Object.entries(scene.colours)) gl.uniform3fv(uniforms[name], rgb);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
    this.drawPictures(matrix, tangents, shift, scene.pictures || []);
  }

  drawPictures(matrix, tangents, shift, pictures) {
    const { gl } = this, { program, uniforms } = this.quad;
    gl.enable(gl.BLEND);
    gl.useProgram(program);
    gl.uniform2fv(uniforms.tangents, tangents);
    gl.uniform2fv(uniforms.shift, shift);
    gl.activeTexture(gl.TEXTURE0);
    gl.uniform1i(uniforms.picture, 0);
    for (const picture of pictures) {
      gl.bindTexture(gl.TEXTURE_2D, picture.texture);
      gl.uniformMatrix3fv(uniforms.toView, false, columns(intoCamera(matrix, rotation(picture))));
      gl.uniform2fv(uniforms.halves, halves(picture));
      const cut = [picture.width, picture.height].map((pixels) => 1 - 2 * (picture.margin ?? 0) / pixels);
      gl.uniform2fv(uniforms.shown, cut);
      gl.uniform2fv(uniforms.part, cut);
      gl.uniform1f(uniforms.alpha, picture.alpha ?? 1);
      gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
    }
  }
}

// Camera to world, transposed, times picture to world.
function intoCamera(camera, picture) {
  return [0, 1, 2].flatMap((i) => [0, 1, 2].map((j) => [0, 1, 2].reduce((sum, k) => sum + camera[3 * k + i] * picture[3 * k + j], 0)));
}

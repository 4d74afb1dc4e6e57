// Masks as strokes of a brush on the sphere: {radius_degrees, points: [[yaw, pitch], ...], erase}.
//
// A stroke is all directions within its radius of the great-circle path through its points; one point alone makes a
// cap. Strokes apply in order. The service draws the same masks from the same strokes (aognet/geometry/strokes.py).

import { RADIANS } from "./look.js";
import { cross, unit, vector } from "./directions.js";

const SAME = 1e-9;  // the sine of the angle between points that are one, or opposite: no great circle is theirs alone

// A part of a path: its ends, and, where a single great circle joins them, its normal and the planes through its ends.
function part(a, b) {
  const normal = cross(a, b);
  if (Math.hypot(...normal) < SAME) return { a, b };
  const n = unit(normal);
  return { a, b, n, from: cross(n, a), to: cross(b, n) };
}

function parts(points) {
  const path = points.map(([yaw, pitch]) => vector(yaw, pitch));
  return path.length === 1 ? [{ a: path[0], b: path[0] }] : path.slice(1).map((end, i) => part(path[i], end));
}

const along = (a, x, y, z) => a[0] * x + a[1] * y + a[2] * z;

function within({ a, b, n, from, to }, x, y, z, cosine, sine, wide) {
  if (along(a, x, y, z) >= cosine || along(b, x, y, z) >= cosine) return true;
  return !!n && along(from, x, y, z) >= 0 && along(to, x, y, z) >= 0 && (wide || Math.abs(along(n, x, y, z)) <= sine);
}

// A mask of `height` x 2 `height` pixels of a panorama, to which strokes are added one after the other.
export class Mask {
  constructor(height) {
    this.height = height;
    this.width = 2 * height;
    this.pixels = new Uint8Array(this.width * height);
    const longitudes = Array.from({ length: this.width }, (_, u) => ((u + 0.5) / this.width - 0.5) * 2 * Math.PI);
    this.sines = longitudes.map(Math.sin);
    this.cosines = longitudes.map(Math.cos);
  }

  clear() { this.pixels.fill(0); }

  add(stroke) { for (const one of parts(stroke.points)) this.addPart(one, stroke); }

  // The part that a growing stroke has got with its newest point.
  addLast({ points, ...stroke }) { this.add({ points: points.slice(-2), ...stroke }); }

  addPart(one, { radius_degrees, erase }) {
    const radius = radius_degrees * RADIANS, cosine = Math.cos(radius), sine = Math.sin(radius), wide = radius_degrees >= 90;
    const [first, last] = this.rows(one, radius);
    for (let v = first; v <= last; v++) {
      const latitude = (0.5 - (v + 0.5) / this.height) * Math.PI, across = Math.cos(latitude), y = Math.sin(latitude);
      for (let u = 0, at = v * this.width; u < this.width; u++, at++)
        if (within(one, across * this.sines[u], y, across * this.cosines[u], cosine, sine, wide)) this.pixels[at] = erase ? 0 : 255;
    }
  }

  // The rows that a part may reach: its path stays within the arc of its middle.
  rows({ a, b }, radius) {
    const middle = [a[0] + b[0], a[1] + b[1], a[2] + b[2]], length = Math.hypot(...middle);
    if (length < SAME) return [0, this.height - 1];
    const half = Math.acos(Math.min(1, length / 2)), latitude = Math.asin(Math.max(-1, Math.min(1, middle[1] / length)));
    const row = (angle) => (0.5 - angle / Math.PI) * this.height;
    return [Math.max(0, Math.floor(row(latitude + half + radius)) - 1), Math.min(this.height - 1, Math.ceil(row(latitude - half - radius)) + 1)];
  }
}

export function rasterise(strokes, height) {
  const mask = new Mask(height);
  for (const stroke of strokes) mask.add(stroke);
  return mask;
}

export const isEmpty = (mask) => !mask.pixels.includes(255);

// Directions as vectors, on the sphere and on the screen.

import { RADIANS, rotation } from "./look.js";

export const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
export const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
export function unit(a) {
  const length = Math.hypot(...a);
  return a.map((x) => x / length);
}

export function vector(yaw, pitch) {
  const [a, b] = [yaw * RADIANS, pitch * RADIANS];
  return [Math.sin(a) * Math.cos(b), Math.sin(b), Math.cos(a) * Math.cos(b)];
}

export const anglesOf = ([x, y, z]) => ({ yaw: Math.atan2(x, z) / RADIANS, pitch: Math.atan2(y, Math.hypot(x, z)) / RADIANS });

export const turned = (m, a) => [0, 3, 6].map((row) => m[row] * a[0] + m[row + 1] * a[1] + m[row + 2] * a[2]);
export const turnedBack = (m, a) => [0, 1, 2].map((column) => m[column] * a[0] + m[column + 3] * a[1] + m[column + 6] * a[2]);

// What a screen of `width` x `height` shows of the sphere, for a view and the tangents of half its fields of view.
export class Screen {
  constructor(view, [across, up], width, height) {
    Object.assign(this, { matrix: rotation(view), across, up, width, height });
  }

  // The direction that a point of the screen shows.
  direction(x, y) {
    const place = [(x / this.width * 2 - 1) * this.across, (1 - y / this.height * 2) * this.up, 1];
    return unit(turned(this.matrix, place));
  }

  inCamera(direction) { return turnedBack(this.matrix, direction); }

  // The point of the screen at which something in front of the camera is seen (camera axes).
  point([x, y, z]) {
    return [(x / z / this.across + 1) / 2 * this.width, (1 - y / z / this.up) / 2 * this.height];
  }

  // The same for a direction; null for what lies behind.
  place(direction) {
    const inCamera = this.inCamera(direction);
    return inCamera[2] > 0.01 ? this.point(inCamera) : null;
  }

  // The outline of a polygon on the sphere whose sides are great circles, as points of the screen.
  outline(directions) {
    const near = 0.02, corners = directions.map((corner) => this.inCamera(corner)), points = [];
    corners.forEach((a, i) => {
      const b = corners[(i + 1) % corners.length];
      if (a[2] > near) points.push(this.point(a));
      if ((a[2] > near) !== (b[2] > near)) {
        const share = (near - a[2]) / (b[2] - a[2]);
        points.push(this.point(a.map((value, k) => value + (b[k] - value) * share)));
      }
    });
    return points;
  }

  // Where the horizon crosses the screen, as two points; null where it does not.
  horizon() {
    const [x, y, z] = this.inCamera([0, 1, 0]);
    if (Math.abs(y) * this.up < Math.abs(x) * this.across) return null;
    return [-1, 1].map((side) => [(side + 1) / 2 * this.width, (1 + (x * side * this.across + z) / y / this.up) / 2 * this.height]);
  }
}

// The directions of the corners of a photo: left top, right top, right bottom, left bottom.
export function corners(photo) {
  const matrix = rotation(photo), [x, y] = halves(photo);
  return [[-x, y], [x, y], [x, -y], [-x, -y]].map(([across, up]) => turned(matrix, [across, up, 1]));
}

// The tangents of half the fields of view of a photo.
export function halves({ fov, width, height }) {
  const across = Math.tan(fov * RADIANS / 2);
  return [across, across * height / width];
}

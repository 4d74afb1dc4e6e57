// Reads light: Radiance files (.hdr), whose pixels share an exponent (Ward, Graphics Gems II, 1991), as half floats.

const MOST = 65504;

// The pixels of a Radiance file as half floats (RGBA), for a texture. Throws an Error for another file.
export function halfFloats(buffer) {
  const bytes = new Uint8Array(buffer), { width, height, at } = header(bytes);
  const data = new Uint16Array(4 * width * height), row = new Uint8Array(4 * width), table = scales();
  const one = toHalf(1);
  let place = at;
  for (let y = 0; y < height; y++) {
    place = line(bytes, place, row, width);
    for (let x = 0; x < width; x++) {
      const to = 4 * (y * width + x), scale = table[row[3 * width + x]];
      for (let c = 0; c < 3; c++) data[to + c] = toHalf(Math.min(row[c * width + x] * scale, MOST));
      data[to + 3] = one;
    }
  }
  return { width, height, data };
}

function header(bytes) {
  const text = new TextDecoder("latin1").decode(bytes.subarray(0, 4096)), blank = text.indexOf("\n\n");
  const size = /^-Y (\d+) \+X (\d+)\n/.exec(text.slice(blank + 2));
  if (!text.startsWith("#?") || blank < 0 || !size) throw new Error("no Radiance file");
  const [height, width] = [+size[1], +size[2]];
  if (width < 1 || height < 1 || width * height > 2 ** 26) throw new Error("too large");
  return { width, height, at: blank + 2 + size[0].length };
}

// Reads one row into four planes. Rows of other widths, and of old programs, are pixels one after the other.
function line(bytes, at, row, width) {
  const packed = width >= 8 && width < 32768 && bytes[at] === 2 && bytes[at + 1] === 2 && bytes[at + 2] * 256 + bytes[at + 3] === width;
  if (!packed) {
    for (let x = 0; x < width; x++) for (let c = 0; c < 4; c++) row[c * width + x] = bytes[at++];
    return at;
  }
  at += 4;
  for (let x = 0; x < row.length;) {
    const count = bytes[at++], run = count > 128 ? count - 128 : count;
    if (!run || x + run > row.length || at >= bytes.length) throw new Error("broken Radiance file");
    if (count > 128) row.fill(bytes[at++], x, x + run);
    else { row.set(bytes.subarray(at, at + run), x); at += run; }
    x += run;
  }
  return at;
}

const scales = () => Float64Array.from({ length: 256 }, (_, e) => e ? 2 ** (e - 136) : 0);

// The nearest half float of a number from 0 to 65504.
const single = new Float32Array(1), pattern = new Uint32Array(single.buffer);
export function toHalf(value) {
  if (value < 2 ** -14) return Math.round(value * 2 ** 24);
  single[0] = value;
  return (pattern[0] - 0x38000000 + 0xfff + ((pattern[0] >> 13) & 1)) >> 13;
}

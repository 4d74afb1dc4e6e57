using System;
using System.IO;

namespace Aognet.Client
{
    /// <summary>
    /// Reads Radiance HDR files, since Unity has no reader for light at run time. Pixels are half floats, red, green, blue and
    /// 1, the lowest row first, as Unity's textures have them.
    /// </summary>
    public sealed class Radiance
    {
        /// <summary>So many pixels may a file have.</summary>
        public const long MostPixels = 16384L * 8192;
        private const ushort One = 0x3C00, Largest = 0x7BFF;

        public readonly int Width, Height;

        /// <summary>[height, width, 4].</summary>
        public readonly ushort[] Pixels;

        /// <summary>Reads a file. Throws FormatException for one that is damaged or too large.</summary>
        public Radiance(byte[] file)
        {
            using (var stream = new MemoryStream(file, false))
            {
                var header = ImageHeader.Read(stream);
                if (header.Format != "hdr") throw new FormatException("it is no Radiance file");
                Width = header.Width;
                Height = header.Height;
                // Run lengths make a pixel from at least 4 bytes of 127: a file that claims more lies.
                if ((long)Width * Height > Math.Min(MostPixels, 40 * (file.Length + 1L))) throw new FormatException("its size is none");
                Pixels = new ushort[Width * Height * 4];
                var row = new byte[Width * 4];
                for (var y = 0; y < Height; y++)
                {
                    ReadRow(stream, row);
                    for (var x = 0; x < Width; x++) Put(row, x, ((Height - 1 - y) * Width + x) * 4);
                }
            }
        }

        private void ReadRow(Stream stream, byte[] row)
        {
            byte r = Next(stream), g = Next(stream), b = Next(stream), e = Next(stream);
            var isPacked = Width >= 8 && Width < 32768 && r == 2 && g == 2 && b < 128;
            if (isPacked)
            {
                if (b * 256 + e != Width) throw new FormatException("a row has another width");
                for (var channel = 0; channel < 4; channel++) ReadChannel(stream, row, channel);
                return;
            }
            Set(row, 0, r, g, b, e);
            for (int x = 1, shift = 0; x < Width;)
            {
                r = Next(stream);
                g = Next(stream);
                b = Next(stream);
                e = Next(stream);
                // Old programs write a run of the last pixel so; the next one counts in higher digits.
                var count = r == 1 && g == 1 && b == 1 ? e << shift : 1;
                shift = r == 1 && g == 1 && b == 1 ? shift + 8 : 0;
                if (shift > 24 || x + count > Width) throw new FormatException("a run is too long");
                var last = shift == 0 ? -1 : x - 1;
                for (; count > 0; count--, x++)
                {
                    if (last < 0) Set(row, x, r, g, b, e);
                    else Set(row, x, row[last], row[Width + last], row[2 * Width + last], row[3 * Width + last]);
                }
            }
        }

        private static void Set(byte[] row, int x, byte r, byte g, byte b, byte e)
        {
            var width = row.Length / 4;
            row[x] = r;
            row[width + x] = g;
            row[2 * width + x] = b;
            row[3 * width + x] = e;
        }

        private void ReadChannel(Stream stream, byte[] row, int channel)
        {
            for (var x = 0; x < Width;)
            {
                int count = Next(stream);
                var isRun = count > 128;
                if (isRun) count -= 128;
                if (count == 0 || x + count > Width) throw new FormatException("a run is too long");
                var value = isRun ? Next(stream) : (byte)0;
                for (; count > 0; count--, x++) row[channel * Width + x] = isRun ? value : Next(stream);
            }
        }

        private static byte Next(Stream stream)
        {
            var one = stream.ReadByte();
            if (one < 0) throw new FormatException("it ends too early");
            return (byte)one;
        }

        private void Put(byte[] row, int x, int at)
        {
            int exponent = row[3 * Width + x];
            for (var channel = 0; channel < 3; channel++)
                Pixels[at + channel] = Half(exponent == 0 ? 0 : row[channel * Width + x], exponent - 136);
            Pixels[at + 3] = One;
        }

        /// <summary>Returns mantissa * 2^exponent as a half float, rounded to the nearest; what is too bright is the brightest.</summary>
        private static ushort Half(int mantissa, int exponent)
        {
            if (mantissa == 0) return 0;
            while (mantissa < 1024)
            {
                mantissa <<= 1;
                exponent--;
            }
            // Now the value is mantissa / 1024 * 2^(exponent + 10), with 11 bits.
            var power = exponent + 10 + 15;
            if (power >= 31) return Largest;
            if (power >= 1) return (ushort)(power << 10 | (mantissa & 1023));
            var shift = 1 - power;
            if (shift > 11) return 0;
            var rest = mantissa & ((1 << shift) - 1);
            var kept = mantissa >> shift;
            var middle = 1 << (shift - 1);
            return (ushort)(rest > middle || (rest == middle && (kept & 1) == 1) ? kept + 1 : kept);
        }
    }
}

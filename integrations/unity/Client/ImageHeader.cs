using System;
using System.Globalization;
using System.IO;
using System.Text;

namespace Aognet.Client
{
    /// <summary>Size and format of an image, from its first bytes. The pixels are not read.</summary>
    public sealed class ImageHeader
    {
        private const int MostHeader = 1 << 20, MostSide = 1 << 20;

        /// <summary>Format: "png", "jpg", "exr" or "hdr".</summary>
        public readonly string Format;
        public readonly int Width, Height;

        private ImageHeader(string format, long width, long height)
        {
            if (width < 1 || height < 1 || width > MostSide || height > MostSide) throw new FormatException("its size is none");
            Format = format;
            Width = (int)width;
            Height = (int)height;
        }

        /// <summary>Whether it has the shape of a whole sphere.</summary>
        public bool IsPanorama
        {
            get { return Width == 2 * Height; }
        }

        /// <summary>Whether it holds light, not display values.</summary>
        public bool IsLight
        {
            get { return Format == "exr" || Format == "hdr"; }
        }

        /// <summary>Returns the header of an image. Throws FormatException for other formats.</summary>
        public static ImageHeader Read(Stream stream)
        {
            var bytes = new HeaderBytes(stream, MostHeader);
            var first = bytes.Take(4);
            if (first[0] == 0x89 && first[1] == 'P' && first[2] == 'N' && first[3] == 'G') return Png(bytes);
            if (first[0] == 0xFF && first[1] == 0xD8) return Jpeg(bytes, first);
            if (first[0] == 0x76 && first[1] == 0x2F && first[2] == 0x31 && first[3] == 0x01) return Exr(bytes);
            if (first[0] == '#' && first[1] == '?') return Radiance(bytes);
            throw new FormatException("it is no PNG, JPEG, OpenEXR or Radiance file");
        }

        private static ImageHeader Png(HeaderBytes bytes)
        {
            bytes.Take(8); // the rest of the signature, and a length
            if (Encoding.ASCII.GetString(bytes.Take(4)) != "IHDR") throw new FormatException("it has no header");
            return new ImageHeader("png", bytes.Big(4), bytes.Big(4));
        }

        private static ImageHeader Jpeg(HeaderBytes bytes, byte[] first)
        {
            int marker = first[3];
            if (first[2] != 0xFF) throw new FormatException("it has no markers");
            while (true)
            {
                while (marker == 0xFF) marker = bytes.Take(1)[0];
                var length = bytes.Big(2);
                // Start of frame: all of C0 to CF but Huffman tables, arithmetic conditions and an extension.
                if (marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC)
                {
                    bytes.Take(1);
                    var height = bytes.Big(2);
                    return new ImageHeader("jpg", bytes.Big(2), height);
                }
                if (length < 2 || marker == 0xD9 || marker == 0xDA) throw new FormatException("it has no size");
                bytes.Take((int)length - 2);
                if (bytes.Take(1)[0] != 0xFF) throw new FormatException("it has no markers");
                marker = bytes.Take(1)[0];
            }
        }

        private static ImageHeader Exr(HeaderBytes bytes)
        {
            bytes.Take(4); // version and flags
            while (true)
            {
                var name = bytes.Word('\0');
                if (name == "") throw new FormatException("it has no size");
                var type = bytes.Word('\0');
                var length = bytes.Little();
                if (length < 0 || length > MostHeader) throw new FormatException("it has no size");
                if (name == "dataWindow" && type == "box2i" && length == 16)
                {
                    long left = bytes.Little(), top = bytes.Little(), right = bytes.Little(), bottom = bytes.Little();
                    return new ImageHeader("exr", right - left + 1, bottom - top + 1);
                }
                bytes.Take(length);
            }
        }

        private static ImageHeader Radiance(HeaderBytes bytes)
        {
            while (bytes.Word('\n') != "") continue;
            var words = bytes.Word('\n').Split(' ');
            long height = 0, width = 0;
            var isGood = words.Length == 4 && words[0] == "-Y" && words[2] == "+X"
                && long.TryParse(words[1], NumberStyles.None, CultureInfo.InvariantCulture, out height)
                && long.TryParse(words[3], NumberStyles.None, CultureInfo.InvariantCulture, out width);
            if (!isGood) throw new FormatException("its rows are not from top to bottom");
            return new ImageHeader("hdr", width, height);
        }
    }

    /// <summary>The first bytes of a stream; reading beyond its end or a bound throws FormatException.</summary>
    internal sealed class HeaderBytes
    {
        private readonly Stream stream;
        private int left;

        public HeaderBytes(Stream stream, int most)
        {
            this.stream = stream;
            left = most;
        }

        public byte[] Take(int count)
        {
            left -= count;
            if (left < 0) throw new FormatException("its header is too long");
            var bytes = new byte[count];
            for (var done = 0; done < count;)
            {
                var read = stream.Read(bytes, done, count - done);
                if (read == 0) throw new FormatException("it ends too early");
                done += read;
            }
            return bytes;
        }

        public long Big(int count)
        {
            long number = 0;
            foreach (var one in Take(count)) number = number * 256 + one;
            return number;
        }

        public int Little()
        {
            var bytes = Take(4);
            return bytes[0] | bytes[1] << 8 | bytes[2] << 16 | bytes[3] << 24;
        }

        public string Word(char end)
        {
            var word = new StringBuilder();
            while (true)
            {
                var letter = (char)Take(1)[0];
                if (letter == end) return word.ToString();
                word.Append(letter);
            }
        }
    }
}

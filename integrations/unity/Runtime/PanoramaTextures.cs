using System;
using System.IO;
using Aognet.Client;
using UnityEngine;

namespace Aognet
{
    /// <summary>Textures of files that are read at run time.</summary>
    public static class PanoramaTextures
    {
        /// <summary>Whether a file can be read at run time. Unity reads EXR files in the editor alone.</summary>
        public static bool IsReadable(string path)
        {
            return SkyRules.IsImage(path) && !path.EndsWith(".exr", StringComparison.OrdinalIgnoreCase);
        }

        /// <summary>
        /// Returns the texture of a PNG, JPEG or Radiance file, which the caller destroys. Throws FormatException for a file that
        /// is damaged, no panorama, or larger than the graphics card takes.
        /// </summary>
        public static Texture2D Of(byte[] file)
        {
            ImageHeader header;
            using (var stream = new MemoryStream(file, false)) header = ImageHeader.Read(stream);
            if (!header.IsPanorama) throw new FormatException("it is not twice as wide as high");
            if (header.Width > SystemInfo.maxTextureSize)
                throw new FormatException(header.Width + " pixels are wider than the " + SystemInfo.maxTextureSize + " of this graphics card");
            var texture = header.Format == "hdr" ? Light(new Radiance(file)) : Picture(file);
            texture.wrapModeU = TextureWrapMode.Repeat;
            texture.wrapModeV = TextureWrapMode.Clamp;
            texture.filterMode = FilterMode.Bilinear;
            return texture;
        }

        private static Texture2D Light(Radiance light)
        {
            var texture = new Texture2D(light.Width, light.Height, TextureFormat.RGBAHalf, false, true);
            texture.SetPixelData(light.Pixels, 0);
            texture.Apply(false, false);
            return texture;
        }

        private static Texture2D Picture(byte[] file)
        {
            // No mipmaps: where the columns of two edges meet, the smallest level would be seen as a line.
            var texture = new Texture2D(2, 2, TextureFormat.RGBA32, false);
            if (texture.LoadImage(file, false)) return texture;
            UnityEngine.Object.Destroy(texture);
            throw new FormatException("it is damaged, or of a kind that Unity does not read");
        }

        /// <summary>Returns a readable panorama as a cubemap, for HDRP. The caller destroys it.</summary>
        public static Cubemap CubemapOf(Texture2D panorama, int size)
        {
            var cubemap = new Cubemap(size, TextureFormat.RGBAHalf, false);
            var pixels = new Color[size * size];
            for (var face = 0; face < 6; face++)
            {
                for (var index = 0; index < pixels.Length; index++)
                {
                    CubeFaces.Place(face, index % size, index / size, size, out var u, out var v);
                    var colour = panorama.GetPixelBilinear((float)u, (float)v);
                    pixels[index] = panorama.isDataSRGB ? colour.linear : colour;
                }
                cubemap.SetPixels(pixels, (CubemapFace)face);
            }
            cubemap.Apply(false, false);
            return cubemap;
        }
    }
}

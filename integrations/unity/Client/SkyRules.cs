using System;

namespace Aognet.Client
{
    /// <summary>Which files are panoramas of ours, and how they are imported and turned.</summary>
    public static class SkyRules
    {
        /// <summary>The largest texture that Unity imports.</summary>
        public const int LargestTexture = 16384;
        private static readonly string[] Suffixes = { ".png", ".jpg", ".jpeg", ".exr", ".hdr" };

        /// <summary>Whether an asset of a path and labels is a panorama: it lies in the folder, or has the label.</summary>
        public static bool IsOurs(string path, string folder, string[] labels, string label)
        {
            if (!IsImage(path)) return false;
            folder = (folder ?? "").Replace('\\', '/').Trim().TrimEnd('/');
            var isInside = IsAssetFolder(folder) && path.Replace('\\', '/').StartsWith(folder + "/", StringComparison.Ordinal);
            return isInside || (!string.IsNullOrEmpty(label) && Array.IndexOf(labels, label) >= 0);
        }

        /// <summary>Whether a path is a folder below Assets: panoramas are not put anywhere else, nor into all of Assets.</summary>
        public static bool IsAssetFolder(string folder)
        {
            var parts = (folder ?? "").Replace('\\', '/').Split('/');
            if (parts.Length < 2 || parts[0] != "Assets") return false;
            return Array.TrueForAll(parts, IsSeen);
        }

        /// <summary>Whether Unity imports what lies in a folder of this name.</summary>
        private static bool IsSeen(string name)
        {
            return name != "" && name.Trim() == name && name[0] != '.' && name[name.Length - 1] != '~';
        }

        /// <summary>Whether a file has a suffix that Unity imports as a picture of a sphere.</summary>
        public static bool IsImage(string path)
        {
            return Array.Exists(Suffixes, suffix => path.EndsWith(suffix, StringComparison.OrdinalIgnoreCase));
        }

        /// <summary>Returns the least maximum size that keeps all pixels of a picture: a power of two from 32 to 16384.</summary>
        public static int TextureSize(int width, int height)
        {
            var size = 32;
            while (size < Math.Max(width, height) && size < LargestTexture) size *= 2;
            return size;
        }

        /// <summary>
        /// Returns _Rotation of Skybox/Panoramic, in [0, 360), that shows a yaw of the panorama (degrees, + to the right)
        /// along +Z. Its dome has the middle of the picture at +X (tests/io/test_presets.py).
        /// </summary>
        public static float PanoramicRotation(float yawDegrees)
        {
            return Turn(90f + yawDegrees);
        }

        /// <summary>The same for a cubemap made of the picture by Unity's importer, whose middle is at +Z.</summary>
        public static float CubemapRotation(float yawDegrees)
        {
            return Turn(yawDegrees);
        }

        private static float Turn(float degrees)
        {
            var turned = degrees % 360f;
            return turned < 0 ? turned + 360f : turned;
        }
    }
}

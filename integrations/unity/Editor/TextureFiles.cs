using System;
using System.IO;
using UnityEngine;

namespace Aognet.Editor
{
    /// <summary>Textures of the project as files that can be sent.</summary>
    internal static class TextureFiles
    {
        private const string Folder = "Library/AognetPhotos";

        /// <summary>Writes any 2D texture as PNG outside of the assets, and returns its path.</summary>
        public static string Written(Texture texture)
        {
            var small = RenderTexture.GetTemporary(texture.width, texture.height, 0, RenderTextureFormat.ARGB32, RenderTextureReadWrite.sRGB);
            var before = RenderTexture.active;
            var readable = new Texture2D(texture.width, texture.height, TextureFormat.RGB24, false);
            try
            {
                // A copy on the graphics card: textures of the project are compressed, and mostly not readable.
                Graphics.Blit(texture, small);
                RenderTexture.active = small;
                readable.ReadPixels(new Rect(0f, 0f, texture.width, texture.height), 0, 0);
                readable.Apply();
                Directory.CreateDirectory(Folder);
                var path = Path.Combine(Folder, Guid.NewGuid().ToString("N") + ".png");
                File.WriteAllBytes(path, readable.EncodeToPNG());
                return path;
            }
            finally
            {
                RenderTexture.active = before;
                RenderTexture.ReleaseTemporary(small);
                UnityEngine.Object.DestroyImmediate(readable);
            }
        }
    }
}

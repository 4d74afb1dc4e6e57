using System;
using System.IO;
using Aognet.Client;
using UnityEditor;
using UnityEngine;

namespace Aognet.Editor
{
    /// <summary>
    /// Gives panoramas in the configured folder, or with the label, the settings of a sky and a Material. It touches nothing
    /// else, and each file once: what is changed by hand afterwards stays.
    /// </summary>
    internal sealed class PanoramaPostprocessor : AssetPostprocessor
    {
        /// <summary>Stands in a file's .meta when it has been set up.</summary>
        public const string Mark = "aognet-panorama";

        public override uint GetVersion()
        {
            return 1;
        }

        private void OnPreprocessTexture()
        {
            var importer = (TextureImporter)assetImporter;
            if (!IsOurs(assetPath) || IsSetUp(importer)) return;
            var header = HeaderOf(assetPath);
            if (header == null || !header.IsPanorama) return; // a picture that lies there, too
            SetUp(importer, header, PanoramaSettings.instance.kind);
        }

        private static void OnPostprocessAllAssets(string[] imported, string[] deleted, string[] moved, string[] movedFrom)
        {
            foreach (var path in imported)
            {
                if (!IsOurs(path)) continue;
                var importer = AssetImporter.GetAtPath(path) as TextureImporter;
                if (importer != null && IsSetUp(importer)) SkyAssets.Make(path);
            }
        }

        /// <summary>Whether an asset is to be imported as a panorama.</summary>
        public static bool IsOurs(string path)
        {
            var settings = PanoramaSettings.instance;
            if (!SkyRules.IsImage(path)) return false;
            var labels = AssetDatabase.GetLabels(AssetDatabase.GUIDFromAssetPath(path));
            return SkyRules.IsOurs(path, settings.folder, labels, settings.label);
        }

        private static bool IsSetUp(TextureImporter importer)
        {
            return Array.IndexOf(importer.userData.Split(' '), Mark) >= 0;
        }

        /// <summary>Whether an importer has been set up as a kind.</summary>
        public static bool IsSetUpAs(TextureImporter importer, SkyKind kind)
        {
            return IsSetUp(importer) && importer.textureShape == ShapeOf(kind);
        }

        private static TextureImporterShape ShapeOf(SkyKind kind)
        {
            var isCube = kind == SkyKind.Cubemap || SkyAssets.IsHdrp;
            return isCube ? TextureImporterShape.TextureCube : TextureImporterShape.Texture2D;
        }

        /// <summary>Returns the header of a picture, or null for what is none.</summary>
        public static ImageHeader HeaderOf(string path)
        {
            try
            {
                using (var file = File.OpenRead(path)) return ImageHeader.Read(file);
            }
            catch (Exception error) when (error is FormatException || error is IOException)
            {
                return null;
            }
        }

        /// <summary>Writes the settings of a sky into an importer.</summary>
        public static void SetUp(TextureImporter importer, ImageHeader header, SkyKind kind)
        {
            importer.textureType = TextureImporterType.Default;
            importer.sRGBTexture = !header.IsLight;
            importer.alphaSource = TextureImporterAlphaSource.None;
            importer.npotScale = TextureImporterNPOTScale.None;
            importer.mipmapEnabled = false; // a line would be seen where the edges meet
            importer.filterMode = FilterMode.Bilinear;
            importer.wrapModeU = TextureWrapMode.Repeat;
            importer.wrapModeV = TextureWrapMode.Clamp; // else the poles mix
            importer.maxTextureSize = SkyRules.TextureSize(header.Width, header.Height);
            importer.textureCompression = TextureImporterCompression.CompressedHQ; // of light: BC6H
            SetShape(importer, kind);
            if (!IsSetUp(importer)) importer.userData = (importer.userData + " " + Mark).Trim();
        }

        private static void SetShape(TextureImporter importer, SkyKind kind)
        {
            var settings = new TextureImporterSettings();
            importer.ReadTextureSettings(settings);
            settings.textureShape = ShapeOf(kind);
            if (settings.textureShape == TextureImporterShape.TextureCube)
            {
                settings.generateCubemap = TextureImporterGenerateCubemap.Cylindrical;
                settings.cubemapConvolution = TextureImporterCubemapConvolution.None;
                settings.seamlessCubemap = true;
            }
            importer.SetTextureSettings(settings);
        }
    }
}

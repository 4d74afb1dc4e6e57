using System.IO;
using Aognet.Client;
using UnityEditor;
using UnityEditor.SceneManagement;
using UnityEngine;
using UnityEngine.SceneManagement;
#if AOGNET_HDRP
using UnityEngine.Rendering;
using UnityEngine.Rendering.HighDefinition;
#endif

namespace Aognet.Editor
{
    /// <summary>Materials, and for HDRP Volume profiles, beside panoramas; and the sky of the open scene.</summary>
    public static class SkyAssets
    {
        /// <summary>Whether the project renders with HDRP.</summary>
        public static bool IsHdrp
        {
            get
            {
#if AOGNET_HDRP
                return GraphicsSettings.currentRenderPipeline is HDRenderPipelineAsset;
#else
                return false;
#endif
            }
        }

        /// <summary>Makes what shows a panorama as the sky, or brings it up to date, and returns it; null without a texture.</summary>
        public static Object Make(string path)
        {
            var texture = AssetDatabase.LoadAssetAtPath<Texture>(path);
            if (texture == null) return null;
#if AOGNET_HDRP
            if (IsHdrp) return MakeProfile(path, texture);
#endif
            return MakeMaterial(path, texture);
        }

        /// <summary>
        /// Returns where the sky of a panorama lies: beside it under its name, or with its suffix, if that is another's. What
        /// somebody else has put there stays. "": both are taken.
        /// </summary>
        private static string PlaceOf(string path, string suffix, System.Predicate<Object> isOurs)
        {
            foreach (var place in new[] { Path.ChangeExtension(path, suffix), path + suffix })
            {
                var there = AssetDatabase.LoadAssetAtPath<Object>(place);
                if (there == null || isOurs(there)) return place;
            }
            Debug.LogWarning(path + " has no sky: other files have its names");
            return "";
        }

        private static Material MakeMaterial(string path, Texture texture)
        {
            var isCube = texture is Cubemap;
            var shader = Shader.Find(isCube ? Skies.CubemapShader : Skies.PanoramicShader);
            var place = PlaceOf(path, ".mat", one => one is Material && IsSkyOf((Material)one, texture));
            if (place == "") return null;
            var material = AssetDatabase.LoadAssetAtPath<Material>(place);
            if (material == null)
            {
                material = new Material(shader);
                Show(material, texture, isCube);
                AssetDatabase.CreateAsset(material, place);
            }
            else if (material.shader != shader || material.GetTexture(isCube ? "_Tex" : "_MainTex") != texture)
            {
                material.shader = shader;
                Show(material, texture, isCube);
                EditorUtility.SetDirty(material);
            }
            return material; // with what was changed by hand
        }

        private static void Show(Material material, Texture texture, bool isCube)
        {
            if (isCube) Skies.ShowCubemap(material, texture, 0f);
            else Skies.ShowPanoramic(material, texture, 0f);
        }

        /// <summary>Whether a Material is a sky that shows a texture, or none any more.</summary>
        private static bool IsSkyOf(Material material, Texture texture)
        {
            var name = material.shader.name;
            if (name != Skies.PanoramicShader && name != Skies.CubemapShader) return false;
            var shown = material.GetTexture(name == Skies.CubemapShader ? "_Tex" : "_MainTex");
            return shown == null || shown == texture;
        }

        /// <summary>Makes a panorama the sky of the open scene, and its light that of the scene. The scene is not saved.</summary>
        public static void SetInScene(Object sky)
        {
#if AOGNET_HDRP
            if (sky is VolumeProfile) ShowInVolume((VolumeProfile)sky);
#endif
            if (sky is Material) Skies.Set((Material)sky);
            if (!EditorApplication.isPlayingOrWillChangePlaymode) EditorSceneManager.MarkSceneDirty(SceneManager.GetActiveScene());
        }

#if AOGNET_HDRP
        private static VolumeProfile MakeProfile(string path, Texture cubemap)
        {
            var place = PlaceOf(path, ".asset", one => one is VolumeProfile && IsSkyOf((VolumeProfile)one, cubemap));
            if (place == "") return null;
            var profile = AssetDatabase.LoadAssetAtPath<VolumeProfile>(place);
            if (profile != null) return profile;
            profile = ScriptableObject.CreateInstance<VolumeProfile>();
            AssetDatabase.CreateAsset(profile, place);
            HdrpSky.Show(profile, cubemap, 0f);
            foreach (var component in profile.components) AssetDatabase.AddObjectToAsset(component, profile);
            AssetDatabase.SaveAssets();
            return profile;
        }

        private static bool IsSkyOf(VolumeProfile profile, Texture cubemap)
        {
            return profile.TryGet(out HDRISky sky) && sky.hdriSky.value == cubemap;
        }

        private static void ShowInVolume(VolumeProfile profile)
        {
            var found = GameObject.Find(HdrpSky.VolumeName);
            var volume = found == null ? null : found.GetComponent<Volume>();
            if (volume == null)
            {
                volume = HdrpSky.NewVolume();
                Undo.RegisterCreatedObjectUndo(volume.gameObject, "Panorama Sky");
            }
            else Undo.RecordObject(volume, "Panorama Sky");
            volume.sharedProfile = profile;
        }
#endif

        /// <summary>Imports a file that was put into the project, and returns its sky.</summary>
        public static Object Import(string path, SkyKind kind)
        {
            AssetDatabase.ImportAsset(path, ImportAssetOptions.ForceSynchronousImport);
            var importer = AssetImporter.GetAtPath(path) as TextureImporter;
            var header = PanoramaPostprocessor.HeaderOf(path);
            if (importer == null || header == null) return null;
            // It may lie outside of the folder that is watched, or be asked for in another form.
            if (!PanoramaPostprocessor.IsSetUpAs(importer, kind))
            {
                PanoramaPostprocessor.SetUp(importer, header, kind);
                importer.SaveAndReimport();
            }
            return Make(path);
        }

        [MenuItem("Assets/Aognet/Make Sky", true)]
        private static bool CanMakeSky()
        {
            return SelectedPanorama() != "";
        }

        [MenuItem("Assets/Aognet/Make Sky")]
        private static void MakeSky()
        {
            var sky = Import(SelectedPanorama(), PanoramaSettings.instance.kind);
            if (sky != null) Selection.activeObject = sky;
        }

        private static string SelectedPanorama()
        {
            var path = AssetDatabase.GetAssetPath(Selection.activeObject);
            if (string.IsNullOrEmpty(path) || !SkyRules.IsImage(path)) return "";
            var header = PanoramaPostprocessor.HeaderOf(path);
            return header != null && header.IsPanorama ? path : "";
        }
    }
}

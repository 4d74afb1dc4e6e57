using System;
using Aognet.Client;
using UnityEngine;
using UnityEngine.Rendering;

namespace Aognet
{
    /// <summary>Skyboxes of panoramas, for the built-in render pipeline and URP.</summary>
    public static class Skies
    {
        public const string PanoramicShader = "Skybox/Panoramic", CubemapShader = "Skybox/Cubemap";

        /// <summary>
        /// Makes a Material of Skybox/Panoramic show a whole panorama. YawDegrees: what of it is ahead (+Z), 0 for its middle.
        /// </summary>
        public static void ShowPanoramic(Material material, Texture panorama, float yawDegrees)
        {
            material.SetTexture("_MainTex", panorama);
            material.SetFloat("_Mapping", 1f);
            material.SetFloat("_ImageType", 0f);
            material.SetFloat("_MirrorOnBack", 0f);
            material.SetFloat("_Layout", 0f);
            material.DisableKeyword("_MAPPING_6_FRAMES_LAYOUT");
            material.SetFloat("_Rotation", SkyRules.PanoramicRotation(yawDegrees));
            ShowAsItIs(material);
        }

        /// <summary>Makes a Material of Skybox/Cubemap show the cubemap of a panorama.</summary>
        public static void ShowCubemap(Material material, Texture cubemap, float yawDegrees)
        {
            material.SetTexture("_Tex", cubemap);
            material.SetFloat("_Rotation", SkyRules.CubemapRotation(yawDegrees));
            ShowAsItIs(material);
        }

        private static void ShowAsItIs(Material material)
        {
            material.SetColor("_Tint", new Color(0.5f, 0.5f, 0.5f, 0.5f)); // the shaders double it
            material.SetFloat("_Exposure", 1f);
        }

        /// <summary>Returns a new Material of Skybox/Panoramic. Template: has that shader; null: it is looked for by name.</summary>
        public static Material NewPanoramic(Material template)
        {
            if (template != null) return new Material(template);
            var shader = Shader.Find(PanoramicShader);
            if (shader == null)
                throw new InvalidOperationException("this build has no " + PanoramicShader + ": give the chooser a template Material with it");
            return new Material(shader);
        }

        /// <summary>Makes a Material the skybox of the scene, and its light that of the scene's surfaces.</summary>
        public static void Set(Material material)
        {
            RenderSettings.skybox = material;
            RenderSettings.ambientMode = AmbientMode.Skybox;
            RenderSettings.defaultReflectionMode = DefaultReflectionMode.Skybox;
            DynamicGI.UpdateEnvironment();
        }
    }
}

#if AOGNET_HDRP
using Aognet.Client;
using UnityEngine;
using UnityEngine.Rendering;
using UnityEngine.Rendering.HighDefinition;

namespace Aognet
{
    /// <summary>The sky of HDRP, which knows no Materials of skyboxes: a Volume with an HDRI Sky.</summary>
    public static class HdrpSky
    {
        public const string VolumeName = "Panorama Sky";

        /// <summary>Returns a global Volume with a profile of its own, before which others step back.</summary>
        public static Volume NewVolume()
        {
            var volume = new GameObject(VolumeName).AddComponent<Volume>();
            volume.isGlobal = true;
            volume.priority = 1f;
            return volume;
        }

        /// <summary>Makes a profile show a cubemap. Missing parts are added to it. YawDegrees: what of it is ahead (+Z).</summary>
        public static void Show(VolumeProfile profile, Texture cubemap, float yawDegrees)
        {
            if (!profile.TryGet(out VisualEnvironment environment)) environment = profile.Add<VisualEnvironment>(false);
            if (!profile.TryGet(out HDRISky sky)) sky = profile.Add<HDRISky>(false);
            environment.skyType.Override((int)SkyType.HDRI);
            sky.hdriSky.Override(cubemap);
            sky.rotation.Override(SkyRules.CubemapRotation(yawDegrees));
        }
    }
}
#endif

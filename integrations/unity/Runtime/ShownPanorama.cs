using System;
using UnityEngine;
#if AOGNET_HDRP
using UnityEngine.Rendering;
using UnityEngine.Rendering.HighDefinition;
#endif

namespace Aognet
{
    /// <summary>The one panorama around a scene. What was made for it goes when another is shown.</summary>
    public sealed class ShownPanorama : IDisposable
    {
        private UnityEngine.Object[] made = new UnityEngine.Object[0];

        public void Dispose()
        {
            foreach (var one in made)
                if (one != null) UnityEngine.Object.Destroy(one);
            made = new UnityEngine.Object[0];
        }

#if AOGNET_HDRP
        private const int LargestFace = 1024;
        private Volume volume;

        /// <summary>Shows a panorama in the sky of a Volume. YawDegrees: what of it is ahead. Template: of no use here.</summary>
        public void Show(LoadedPanorama loaded, Material template, float yawDegrees)
        {
            var cubemap = loaded.Cubemap;
            var isMade = cubemap == null && loaded.Texture != null;
            if (isMade) cubemap = PanoramaTextures.CubemapOf(loaded.Texture, Mathf.Min(loaded.Texture.height / 2, LargestFace));
            if (cubemap == null) throw new InvalidOperationException("the catalogue has no cubemap for HDRP");
            if (volume == null) volume = HdrpSky.NewVolume();
            HdrpSky.Show(volume.profile, cubemap, yawDegrees);
            Dispose();
            if (isMade) made = new UnityEngine.Object[] { cubemap, loaded.IsOwned ? loaded.Texture : null };
        }
#else
        /// <summary>Shows a panorama as the skybox. YawDegrees: what of it is ahead; a catalogue's Material has its own. Template: of the others.</summary>
        public void Show(LoadedPanorama loaded, Material template, float yawDegrees)
        {
            var material = loaded.Material;
            var isMade = material == null && loaded.Texture != null;
            if (isMade)
            {
                material = Skies.NewPanoramic(template);
                Skies.ShowPanoramic(material, loaded.Texture, yawDegrees);
            }
            if (material == null) throw new InvalidOperationException("the catalogue has no Material for this render pipeline");
            Skies.Set(material);
            Dispose();
            if (isMade) made = new UnityEngine.Object[] { material, loaded.IsOwned ? loaded.Texture : null };
        }
#endif
    }
}

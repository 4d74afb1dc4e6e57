using System;
using System.Collections.Generic;
using UnityEngine;

namespace Aognet
{
    /// <summary>Panoramas that are built into a program: in a build, Materials cannot be found by their files.</summary>
    [CreateAssetMenu(menuName = "Aognet/Panorama Catalogue", fileName = "Panoramas")]
    public sealed class PanoramaCatalogue : ScriptableObject
    {
        /// <summary>
        /// One panorama: the Material of a skybox, and for HDRP a cubemap; or a texture, for which the chooser makes what is
        /// needed. HDRP wants textures to be readable.
        /// </summary>
        [Serializable]
        public sealed class Entry
        {
            public string title = "";
            public Material material;
            public Cubemap cubemap;
            public Texture2D texture;
        }

        public List<Entry> entries = new List<Entry>();
    }
}

using System;
using System.Threading;
using System.Threading.Tasks;
using UnityEngine;

namespace Aognet
{
    /// <summary>A panorama that can be chosen.</summary>
    public sealed class PanoramaChoice
    {
        public readonly string Title;

        /// <summary>Brings it, on the main thread.</summary>
        public readonly Func<CancellationToken, Task<LoadedPanorama>> Load;

        public PanoramaChoice(string title, Func<CancellationToken, Task<LoadedPanorama>> load)
        {
            Title = title;
            Load = load;
        }
    }

    /// <summary>
    /// A panorama in memory: a Material, a cubemap or a texture. IsOwned: the texture goes when another is shown.
    /// </summary>
    public sealed class LoadedPanorama
    {
        public Material Material;
        public Cubemap Cubemap;
        public Texture2D Texture;
        public bool IsOwned;

        /// <summary>Forgets what is not shown.</summary>
        public void Discard()
        {
            if (IsOwned) UnityEngine.Object.Destroy(Texture);
        }
    }
}

// The signatures of the High Definition Render Pipeline that integrations/unity uses; see UnityEngine.cs.
using System.Collections.Generic;

namespace UnityEngine.Rendering
{
    public abstract class VolumeParameter<T>
    {
        public virtual T value { get; set; }
        public void Override(T x) => throw null;
    }

    public class VolumeComponent : ScriptableObject { }
    public class CubemapParameter : VolumeParameter<Texture> { }
    public class ClampedFloatParameter : VolumeParameter<float> { }
    public class NoInterpIntParameter : VolumeParameter<int> { }

    public sealed class VolumeProfile : ScriptableObject
    {
        public List<VolumeComponent> components;
        public T Add<T>(bool overrides = false) where T : VolumeComponent => throw null;
        public bool TryGet<T>(out T component) where T : VolumeComponent => throw null;
    }

    public class Volume : MonoBehaviour
    {
        public bool isGlobal { get; set; }
        public float priority { get; set; }
        public VolumeProfile sharedProfile;
        public VolumeProfile profile { get; set; }
    }
}

namespace UnityEngine.Rendering.HighDefinition
{
    public enum SkyType { HDRI = 1, Procedural = 2, Gradient = 3, PhysicallyBased = 4 }
    public class HDRenderPipelineAsset : RenderPipelineAsset { }

    public sealed class VisualEnvironment : VolumeComponent
    {
        public NoInterpIntParameter skyType;
    }

    public abstract class SkySettings : VolumeComponent
    {
        public ClampedFloatParameter rotation;
    }

    public sealed class HDRISky : SkySettings
    {
        public CubemapParameter hdriSky;
    }
}

// The signatures of Unity's engine that integrations/unity uses, written down from its public documentation. They do
// nothing: what is compiled against them is checked for names and types alone.
using System;

namespace UnityEngine
{
    public class Object
    {
        public string name { get; set; }
        public HideFlags hideFlags { get; set; }
        public static void Destroy(Object obj) => throw null;
        public static void DestroyImmediate(Object obj) => throw null;
        public static bool operator ==(Object x, Object y) => throw null;
        public static bool operator !=(Object x, Object y) => throw null;
        public override bool Equals(object other) => throw null;
        public override int GetHashCode() => throw null;
    }

    [Flags] public enum HideFlags { None = 0, HideAndDontSave = 61 }

    public class ScriptableObject : Object
    {
        public static T CreateInstance<T>() where T : ScriptableObject => throw null;
    }

    public class Component : Object
    {
        public GameObject gameObject => throw null;
        public Transform transform => throw null;
        public T GetComponent<T>() => throw null;
    }

    public class Behaviour : Component { public bool enabled { get; set; } }
    public class MonoBehaviour : Behaviour { }

    public sealed class GameObject : Object
    {
        public GameObject(string name) => throw null;
        public GameObject(string name, params Type[] components) => throw null;
        public Transform transform => throw null;
        public T AddComponent<T>() where T : Component => throw null;
        public T GetComponent<T>() => throw null;
        public static GameObject Find(string name) => throw null;
    }

    public class Transform : Component
    {
        public int childCount => throw null;
        public Transform GetChild(int index) => throw null;
        public void SetParent(Transform parent, bool worldPositionStays) => throw null;
    }

    public sealed class RectTransform : Transform
    {
        public Vector2 anchorMin { get; set; }
        public Vector2 anchorMax { get; set; }
        public Vector2 offsetMin { get; set; }
        public Vector2 offsetMax { get; set; }
        public Vector2 pivot { get; set; }
    }

    public struct Vector2
    {
        public float x, y;
        public Vector2(float x, float y) => throw null;
    }

    public struct Rect
    {
        public Rect(float x, float y, float width, float height) => throw null;
    }

    public struct Color
    {
        public float r, g, b, a;
        public Color(float r, float g, float b, float a) => throw null;
        public static Color white => throw null;
        public static Color clear => throw null;
        public Color linear => throw null;
    }

    public struct Mathf
    {
        public static int Max(int a, int b) => throw null;
        public static int Min(int a, int b) => throw null;
    }

    public static class Debug
    {
        public static void Log(object message, Object context) => throw null;
        public static void LogWarning(object message) => throw null;
        public static void LogException(Exception exception) => throw null;
    }

    public static class Application
    {
        public static string dataPath => throw null;
        public static string streamingAssetsPath => throw null;
    }
    public static class SystemInfo { public static int maxTextureSize => throw null; }

    public static class Resources
    {
        public static T GetBuiltinResource<T>(string path) where T : Object => throw null;
    }

    public class Font : Object { }
    public enum TextAnchor { UpperLeft, UpperCenter, UpperRight, MiddleLeft }
    public sealed class Shader : Object { public static Shader Find(string name) => throw null; }

    public class Material : Object
    {
        public Material(Shader shader) => throw null;
        public Material(Material source) => throw null;
        public Shader shader { get; set; }
        public void SetTexture(string name, Texture value) => throw null;
        public Texture GetTexture(string name) => throw null;
        public void SetFloat(string name, float value) => throw null;
        public void SetColor(string name, Color value) => throw null;
        public void DisableKeyword(string keyword) => throw null;
    }

    public enum TextureWrapMode { Repeat, Clamp }
    public enum FilterMode { Point, Bilinear, Trilinear }
    public enum TextureFormat { RGB24 = 3, RGBA32 = 4, RGBAHalf = 17 }
    public enum CubemapFace { PositiveX, NegativeX, PositiveY, NegativeY, PositiveZ, NegativeZ }

    public class Texture : Object
    {
        public int width => throw null;
        public int height => throw null;
        public bool isDataSRGB => throw null;
        public TextureWrapMode wrapModeU { get; set; }
        public TextureWrapMode wrapModeV { get; set; }
        public FilterMode filterMode { get; set; }
    }

    public sealed class Texture2D : Texture
    {
        public Texture2D(int width, int height) => throw null;
        public Texture2D(int width, int height, TextureFormat textureFormat, bool mipChain) => throw null;
        public Texture2D(int width, int height, TextureFormat textureFormat, bool mipChain, bool linear) => throw null;
        public void SetPixelData<T>(T[] data, int mipLevel, int sourceDataStartIndex = 0) => throw null;
        public Color GetPixelBilinear(float u, float v) => throw null;
        public void ReadPixels(Rect source, int destX, int destY) => throw null;
        public void Apply() => throw null;
        public void Apply(bool updateMipmaps, bool makeNoLongerReadable) => throw null;
    }

    public sealed class Cubemap : Texture
    {
        public Cubemap(int width, TextureFormat textureFormat, bool mipChain) => throw null;
        public void SetPixels(Color[] colors, CubemapFace face) => throw null;
        public void Apply(bool updateMipmaps, bool makeNoLongerReadable) => throw null;
    }

    public static class ImageConversion
    {
        public static bool LoadImage(this Texture2D tex, byte[] data) => throw null;
        public static bool LoadImage(this Texture2D tex, byte[] data, bool markNonReadable) => throw null;
        public static byte[] EncodeToPNG(this Texture2D tex) => throw null;
    }

    public enum RenderTextureFormat { ARGB32 }
    public enum RenderTextureReadWrite { Default, Linear, sRGB }

    public class RenderTexture : Texture
    {
        public static RenderTexture active { get; set; }
        public static RenderTexture GetTemporary(
            int width, int height, int depthBuffer, RenderTextureFormat format, RenderTextureReadWrite readWrite) => throw null;
        public static void ReleaseTemporary(RenderTexture temp) => throw null;
    }

    public static class Graphics { public static void Blit(Texture source, RenderTexture dest) => throw null; }

    public static class RenderSettings
    {
        public static Material skybox { get; set; }
        public static Rendering.AmbientMode ambientMode { get; set; }
        public static Rendering.DefaultReflectionMode defaultReflectionMode { get; set; }
    }

    public static class DynamicGI { public static void UpdateEnvironment() => throw null; }
    public enum RenderMode { ScreenSpaceOverlay, ScreenSpaceCamera, WorldSpace }
    public sealed class Canvas : Behaviour { public RenderMode renderMode { get; set; } }

    [AttributeUsage(AttributeTargets.Field)] public sealed class SerializeField : Attribute { }

    public sealed class TooltipAttribute : Attribute { public TooltipAttribute(string tooltip) { } }
    public sealed class AddComponentMenu : Attribute { public AddComponentMenu(string menuName) { } }

    public sealed class CreateAssetMenuAttribute : Attribute
    {
        public string menuName { get; set; }
        public string fileName { get; set; }
    }

    public class GUIContent
    {
        public GUIContent(string text) => throw null;
        public GUIContent(string text, string tooltip) => throw null;
    }

    public class GUIStyle { }
    public class GUILayoutOption { }
    public enum ScaleMode { StretchToFill, ScaleAndCrop, ScaleToFit }

    public static class GUI
    {
        public static void DrawTexture(Rect position, Texture image, ScaleMode scaleMode) => throw null;
    }

    public static class GUILayout
    {
        public static bool Button(string text, params GUILayoutOption[] options) => throw null;
        public static int Toolbar(int selected, string[] texts, params GUILayoutOption[] options) => throw null;
        public static GUILayoutOption Width(float width) => throw null;
        public static GUILayoutOption MinHeight(float minHeight) => throw null;
        public static GUILayoutOption ExpandWidth(bool expand) => throw null;
    }

    public static class GUILayoutUtility
    {
        public static Rect GetRect(float width, float height, params GUILayoutOption[] options) => throw null;
    }
}

namespace UnityEngine.Rendering
{
    public enum AmbientMode { Skybox = 0, Trilight = 1, Flat = 3, Custom = 4 }
    public enum DefaultReflectionMode { Skybox, Custom }
    public class RenderPipelineAsset : ScriptableObject { }
    public static class GraphicsSettings { public static RenderPipelineAsset currentRenderPipeline => throw null; }
}

namespace UnityEngine.SceneManagement
{
    public struct Scene { }
    public static class SceneManager { public static Scene GetActiveScene() => throw null; }
}

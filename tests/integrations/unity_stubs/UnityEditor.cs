// The signatures of Unity's editor that integrations/unity uses; see UnityEngine.cs.
using System;
using UnityEngine;
using Object = UnityEngine.Object;

namespace UnityEditor
{
    public struct GUID { }

    public sealed class MenuItem : Attribute
    {
        public MenuItem(string itemName) { }
        public MenuItem(string itemName, bool isValidateFunction) { }
    }

    public sealed class InitializeOnLoadAttribute : Attribute { }
    public sealed class CustomEditor : Attribute { public CustomEditor(Type inspectedType) { } }

    public class FilePathAttribute : Attribute
    {
        public enum Location { PreferencesFolder, ProjectFolder }
        public FilePathAttribute(string relativePath, Location location) { }
    }

    public class ScriptableSingleton<T> : ScriptableObject where T : ScriptableObject
    {
        public static T instance => throw null;
        protected virtual void Save(bool saveAsText) => throw null;
    }

    public class EditorWindow : ScriptableObject
    {
        public Vector2 minSize { get; set; }
        public static T GetWindow<T>(string title) where T : EditorWindow => throw null;
        public void Repaint() => throw null;
    }

    public class Editor : ScriptableObject
    {
        public Object target { get; set; }
        public virtual void OnInspectorGUI() => throw null;
        public bool DrawDefaultInspector() => throw null;
    }

    public static class EditorApplication
    {
        public delegate void CallbackFunction();
        public static CallbackFunction update;
        public static CallbackFunction delayCall;
        public static event Action quitting { add => throw null; remove => throw null; }
        public static bool isPlayingOrWillChangePlaymode => throw null;
        public static bool isCompiling => throw null;
        public static bool isUpdating => throw null;
    }

    public static class AssemblyReloadEvents
    {
        public delegate void AssemblyReloadCallback();
        public static event AssemblyReloadCallback beforeAssemblyReload { add => throw null; remove => throw null; }
    }

    public sealed class EditorPrefs
    {
        public static string GetString(string key, string defaultValue) => throw null;
        public static void SetString(string key, string value) => throw null;
        public static bool GetBool(string key, bool defaultValue) => throw null;
        public static void SetBool(string key, bool value) => throw null;
        public static void DeleteKey(string key) => throw null;
    }

    public static class Selection { public static Object activeObject { get; set; } }

    public static class Undo
    {
        public static void RecordObject(Object objectToUndo, string name) => throw null;
        public static void RegisterCreatedObjectUndo(Object objectToUndo, string name) => throw null;
    }

    public static class EditorUtility
    {
        public static void SetDirty(Object target) => throw null;
        public static string OpenFilePanel(string title, string directory, string extension) => throw null;
    }

    [Flags] public enum ImportAssetOptions { Default = 0, ForceUpdate = 1, ForceSynchronousImport = 8 }

    public static class AssetDatabase
    {
        public static T LoadAssetAtPath<T>(string assetPath) where T : Object => throw null;
        public static void CreateAsset(Object asset, string path) => throw null;
        public static void AddObjectToAsset(Object objectToAdd, Object assetObject) => throw null;
        public static void SaveAssets() => throw null;
        public static void ImportAsset(string path, ImportAssetOptions options) => throw null;
        public static string GenerateUniqueAssetPath(string path) => throw null;
        public static string GetAssetPath(Object assetObject) => throw null;
        public static string[] GetLabels(GUID guid) => throw null;
        public static GUID GUIDFromAssetPath(string path) => throw null;
        public static string GUIDToAssetPath(string guid) => throw null;
        public static string[] FindAssets(string filter, string[] searchInFolders) => throw null;
        public static bool IsValidFolder(string path) => throw null;
    }

    public class AssetImporter : Object
    {
        public string userData { get; set; }
        public static AssetImporter GetAtPath(string path) => throw null;
        public void SaveAndReimport() => throw null;
    }

    public abstract class AssetPostprocessor
    {
        public string assetPath { get; set; }
        public AssetImporter assetImporter => throw null;
        public virtual uint GetVersion() => throw null;
    }

    public enum TextureImporterType { Default, NormalMap }
    public enum TextureImporterShape { Texture2D = 1, TextureCube = 2 }
    public enum TextureImporterAlphaSource { None, FromInput, FromGrayScale }
    public enum TextureImporterNPOTScale { None, ToNearest, ToLarger, ToSmaller }
    public enum TextureImporterCompression { Uncompressed, Compressed, CompressedHQ, CompressedLQ }
    public enum TextureImporterGenerateCubemap { None, Spheremap, Cylindrical, FullCubemap = 5, AutoCubemap }
    public enum TextureImporterCubemapConvolution { None, Specular, Diffuse }

    public sealed class TextureImporterSettings
    {
        public TextureImporterShape textureShape { get; set; }
        public TextureImporterGenerateCubemap generateCubemap { get; set; }
        public TextureImporterCubemapConvolution cubemapConvolution { get; set; }
        public bool seamlessCubemap { get; set; }
    }

    public sealed class TextureImporter : AssetImporter
    {
        public TextureImporterType textureType { get; set; }
        public TextureImporterShape textureShape { get; set; }
        public TextureImporterAlphaSource alphaSource { get; set; }
        public TextureImporterNPOTScale npotScale { get; set; }
        public TextureImporterCompression textureCompression { get; set; }
        public bool sRGBTexture { get; set; }
        public bool mipmapEnabled { get; set; }
        public FilterMode filterMode { get; set; }
        public TextureWrapMode wrapModeU { get; set; }
        public TextureWrapMode wrapModeV { get; set; }
        public int maxTextureSize { get; set; }
        public void ReadTextureSettings(TextureImporterSettings dest) => throw null;
        public void SetTextureSettings(TextureImporterSettings src) => throw null;
    }

    public enum MessageType { None, Info, Warning, Error }

    public static class EditorStyles
    {
        public static GUIStyle helpBox => throw null;
        public static GUIStyle boldLabel => throw null;
    }

    public static class EditorGUIUtility { public static void PingObject(Object obj) => throw null; }

    public static class EditorGUI
    {
        public static void BeginChangeCheck() => throw null;
        public static bool EndChangeCheck() => throw null;
        public static void ProgressBar(Rect position, float value, string text) => throw null;

        public class DisabledScope : IDisposable
        {
            public DisabledScope(bool disabled) => throw null;
            public void Dispose() => throw null;
        }
    }

    public static class EditorGUILayout
    {
        public static void Space() => throw null;
        public static void LabelField(string label, params GUILayoutOption[] options) => throw null;
        public static void LabelField(string label, GUIStyle style, params GUILayoutOption[] options) => throw null;
        public static void HelpBox(string message, MessageType type) => throw null;
        public static Rect GetControlRect(params GUILayoutOption[] options) => throw null;
        public static Vector2 BeginScrollView(Vector2 scrollPosition, params GUILayoutOption[] options) => throw null;
        public static void EndScrollView() => throw null;
        public static string TextField(string label, string text, params GUILayoutOption[] options) => throw null;
        public static string TextArea(string text, params GUILayoutOption[] options) => throw null;
        public static string PasswordField(string label, string password, params GUILayoutOption[] options) => throw null;
        public static string DelayedTextField(string label, string text, params GUILayoutOption[] options) => throw null;
        public static string DelayedTextField(GUIContent label, string text, params GUILayoutOption[] options) => throw null;
        public static bool Toggle(string label, bool value, params GUILayoutOption[] options) => throw null;
        public static bool Toggle(GUIContent label, bool value, params GUILayoutOption[] options) => throw null;
        public static float Slider(string label, float value, float leftValue, float rightValue, params GUILayoutOption[] options) => throw null;
        public static int IntField(string label, int value, params GUILayoutOption[] options) => throw null;
        public static long LongField(string label, long value, params GUILayoutOption[] options) => throw null;
        public static int Popup(string label, int selectedIndex, string[] displayedOptions, params GUILayoutOption[] options) => throw null;
        public static int Popup(GUIContent label, int selectedIndex, GUIContent[] displayedOptions, params GUILayoutOption[] options) => throw null;
        public static Enum EnumPopup(string label, Enum selected, params GUILayoutOption[] options) => throw null;
        public static bool Foldout(bool foldout, string content, bool toggleOnLabelClick) => throw null;
        public static Object ObjectField(
            string label, Object obj, Type objType, bool allowSceneObjects, params GUILayoutOption[] options) => throw null;

        public class HorizontalScope : IDisposable
        {
            public HorizontalScope(params GUILayoutOption[] options) => throw null;
            public HorizontalScope(GUIStyle style, params GUILayoutOption[] options) => throw null;
            public void Dispose() => throw null;
        }

        public class VerticalScope : IDisposable
        {
            public VerticalScope(params GUILayoutOption[] options) => throw null;
            public VerticalScope(GUIStyle style, params GUILayoutOption[] options) => throw null;
            public void Dispose() => throw null;
        }
    }
}

namespace UnityEditor.SceneManagement
{
    public sealed class EditorSceneManager
    {
        public static bool MarkSceneDirty(UnityEngine.SceneManagement.Scene scene) => throw null;
    }
}

using Aognet.Client;
using UnityEditor;
using UnityEngine;

namespace Aognet.Editor
{
    /// <summary>What becomes of panoramas in the project.</summary>
    internal static class ImportPanel
    {
        private const string SetsSceneKey = "Aognet.SetsScene";

        /// <summary>Whether a new panorama becomes the sky of the open scene.</summary>
        public static bool SetsScene
        {
            get { return EditorPrefs.GetBool(SetsSceneKey, true); }
            private set { EditorPrefs.SetBool(SetsSceneKey, value); }
        }

        public static void Draw()
        {
            var settings = PanoramaSettings.instance;
            EditorGUILayout.Space();
            EditorGUILayout.LabelField("In the project");
            EditorGUI.BeginChangeCheck();
            var folder = EditorGUILayout.DelayedTextField("Folder", settings.folder).Trim();
            if (SkyRules.IsAssetFolder(folder)) settings.folder = folder;
            else EditorGUILayout.HelpBox("A folder below Assets, like Assets/Panoramas.", MessageType.Error);
            settings.label = EditorGUILayout.DelayedTextField("Label", settings.label).Trim();
            if (SkyAssets.IsHdrp) EditorGUILayout.HelpBox("HDRP: a cubemap, and a Volume profile with an HDRI Sky.", MessageType.Info);
            else settings.kind = (SkyKind)EditorGUILayout.EnumPopup("As", settings.kind);
            settings.takesLight = EditorGUILayout.Toggle(new GUIContent("Light (EXR)", "Where a model paints light"), settings.takesLight);
            if (EditorGUI.EndChangeCheck()) settings.Keep();
            SetsScene = EditorGUILayout.Toggle("Set in the scene", SetsScene);
        }
    }
}

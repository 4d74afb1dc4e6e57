using UnityEditor;
using UnityEngine;

namespace Aognet.Editor
{
    /// <summary>Fills catalogues with the panoramas of the configured folder, and makes choosers.</summary>
    [CustomEditor(typeof(PanoramaCatalogue))]
    internal sealed class CatalogueEditor : UnityEditor.Editor
    {
        public override void OnInspectorGUI()
        {
            DrawDefaultInspector();
            if (GUILayout.Button("Add all of " + PanoramaSettings.instance.folder)) AddAll((PanoramaCatalogue)target);
        }

        private static void AddAll(PanoramaCatalogue catalogue)
        {
            var folder = PanoramaSettings.instance.folder;
            if (!AssetDatabase.IsValidFolder(folder)) return;
            Undo.RecordObject(catalogue, "Add panoramas");
            foreach (var guid in AssetDatabase.FindAssets("t:Material", new[] { folder }))
            {
                var material = AssetDatabase.LoadAssetAtPath<Material>(AssetDatabase.GUIDToAssetPath(guid));
                var name = material.shader.name;
                var isSky = name == Skies.PanoramicShader || name == Skies.CubemapShader;
                if (isSky && !catalogue.entries.Exists(one => one.material == material))
                    catalogue.entries.Add(new PanoramaCatalogue.Entry { title = material.name, material = material });
            }
            foreach (var guid in AssetDatabase.FindAssets("t:Cubemap", new[] { folder }))
            {
                var cubemap = AssetDatabase.LoadAssetAtPath<Cubemap>(AssetDatabase.GUIDToAssetPath(guid));
                if (catalogue.entries.Exists(one => one.cubemap == cubemap)) continue;
                var same = catalogue.entries.Find(one => one.cubemap == null && one.title == cubemap.name);
                if (same != null) same.cubemap = cubemap;
                else catalogue.entries.Add(new PanoramaCatalogue.Entry { title = cubemap.name, cubemap = cubemap });
            }
            EditorUtility.SetDirty(catalogue);
        }

        [MenuItem("GameObject/Aognet/Panorama Chooser")]
        private static void MakeChooser()
        {
            var chooser = new GameObject("Panorama Chooser").AddComponent<PanoramaChooser>();
            chooser.template = Template();
            Undo.RegisterCreatedObjectUndo(chooser.gameObject, "Panorama Chooser");
            Selection.activeObject = chooser.gameObject;
        }

        /// <summary>Returns a Material whose only use is that builds contain its shader.</summary>
        private static Material Template()
        {
            const string path = "Assets/PanoramicTemplate.mat";
            var template = AssetDatabase.LoadAssetAtPath<Material>(path);
            if (template != null) return template;
            template = new Material(Shader.Find(Skies.PanoramicShader));
            AssetDatabase.CreateAsset(template, path);
            return template;
        }
    }
}

using Aognet.Client;
using UnityEditor;
using UnityEngine;

namespace Aognet.Editor
{
    /// <summary>The jobs of the project, the newest first.</summary>
    internal static class JobsPanel
    {
        private const float PreviewSize = 128f;

        public static void Draw()
        {
            var jobs = JobService.Jobs;
            if (jobs.Count == 0) EditorGUILayout.HelpBox("Nothing was asked for yet.", MessageType.Info);
            foreach (var job in jobs) Draw(job);
        }

        private static void Draw(LedgerEntry job)
        {
            using (new EditorGUILayout.VerticalScope(EditorStyles.helpBox))
            {
                EditorGUILayout.LabelField(job.Title, EditorStyles.boldLabel);
                if (job.IsOver) EditorGUILayout.LabelField(job.State == LedgerEntry.Done ? job.File : job.State);
                else DrawProgress(job);
                if (job.Error != "") EditorGUILayout.HelpBox(job.Error, MessageType.Error);
                using (new EditorGUILayout.HorizontalScope()) DrawButtons(job);
            }
        }

        private static void DrawProgress(LedgerEntry job)
        {
            var share = job.TotalCount > 0 ? (float)job.DoneCount / job.TotalCount : 0f;
            var words = job.State + " " + job.Stage + (job.TotalCount > 0 ? " " + job.DoneCount + "/" + job.TotalCount : "");
            EditorGUI.ProgressBar(EditorGUILayout.GetControlRect(), share, job.IsCancelAsked ? "cancelling" : words);
            var waits = JobService.WaitOf(job);
            if (waits != "") EditorGUILayout.HelpBox(waits, MessageType.Warning);
            var preview = JobService.PreviewOf(job);
            if (preview == null) return;
            var place = GUILayoutUtility.GetRect(PreviewSize, PreviewSize, GUILayout.ExpandWidth(false));
            GUI.DrawTexture(place, preview, ScaleMode.ScaleToFit);
        }

        private static void DrawButtons(LedgerEntry job)
        {
            if (!job.IsOver)
            {
                if (GUILayout.Button("Cancel")) JobService.Cancel(job);
                return;
            }
            if (job.State != LedgerEntry.Done && GUILayout.Button("Again")) JobService.Retry(job);
            if (job.State == LedgerEntry.Done && GUILayout.Button("Select")) Select(job);
            if (job.State == LedgerEntry.Done && GUILayout.Button("Set in the scene"))
            {
                var sky = SkyAssets.Make(job.File.Replace('\\', '/'));
                if (sky != null) SkyAssets.SetInScene(sky);
            }
            if (GUILayout.Button("Forget")) JobService.Forget(job);
        }

        private static void Select(LedgerEntry job)
        {
            var asset = AssetDatabase.LoadAssetAtPath<Texture>(job.File.Replace('\\', '/'));
            if (asset == null) return;
            Selection.activeObject = asset;
            EditorGUIUtility.PingObject(asset);
        }
    }
}

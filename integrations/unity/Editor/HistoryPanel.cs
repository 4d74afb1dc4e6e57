using System;
using System.Collections.Generic;
using System.IO;
using System.Threading;
using System.Threading.Tasks;
using Aognet.Client;
using UnityEditor;
using UnityEngine;

namespace Aognet.Editor
{
    /// <summary>What the studio has painted before, by whomever, and the way into the project.</summary>
    internal sealed class HistoryPanel : IDisposable
    {
        private const int PageSize = 20;
        private const float ThumbnailWidth = 160f;

        private readonly List<StudioPanorama> panoramas = new List<StudioPanorama>();
        private readonly Dictionary<string, Texture2D> thumbnails = new Dictionary<string, Texture2D>();
        private string words = "", cursor = "", busy = "";
        private bool isRead;

        /// <summary>Forgets what another server had.</summary>
        public void Clear()
        {
            panoramas.Clear();
            cursor = busy = "";
            isRead = false;
        }

        public void Dispose()
        {
            foreach (var thumbnail in thumbnails.Values) UnityEngine.Object.DestroyImmediate(thumbnail);
            thumbnails.Clear();
        }

        public void Draw(StudioClient client, Action<string, bool> say, Action repaint, CancellationToken closed)
        {
            EditorGUI.BeginChangeCheck();
            words = EditorGUILayout.DelayedTextField("Words", words);
            if (EditorGUI.EndChangeCheck() || GUILayout.Button("Refresh")) Clear();
            if (!isRead) Read(client, say, repaint, closed);
            foreach (var panorama in panoramas) Draw(panorama, client, say, repaint, closed);
            if (busy != "") EditorGUILayout.HelpBox(busy, MessageType.Info);
            else if (cursor != "" && GUILayout.Button("More")) Read(client, say, repaint, closed);
        }

        private void Draw(StudioPanorama panorama, StudioClient client, Action<string, bool> say, Action repaint, CancellationToken closed)
        {
            if (panorama.Head == null) return; // nothing is finished yet
            using (new EditorGUILayout.HorizontalScope(EditorStyles.helpBox))
            {
                var place = GUILayoutUtility.GetRect(ThumbnailWidth, ThumbnailWidth / 2f, GUILayout.ExpandWidth(false));
                if (thumbnails.TryGetValue(panorama.Head.Id, out var thumbnail)) GUI.DrawTexture(place, thumbnail, ScaleMode.ScaleToFit);
                using (new EditorGUILayout.VerticalScope())
                {
                    EditorGUILayout.LabelField(panorama.Title, EditorStyles.boldLabel);
                    EditorGUILayout.LabelField(panorama.Updated.ToLocalTime().ToString("g"));
                    using (new EditorGUI.DisabledScope(busy != ""))
                        if (GUILayout.Button("Import"))
                            Work("Importing " + panorama.Title, () => ImportAsync(panorama, client, say, closed), say, repaint);
                }
            }
        }

        private void Read(StudioClient client, Action<string, bool> say, Action repaint, CancellationToken closed)
        {
            if (busy != "") return;
            isRead = true;
            Work("Reading", () => ReadAsync(client, repaint, closed), say, repaint);
        }

        private async Task ReadAsync(StudioClient client, Action repaint, CancellationToken closed)
        {
            var asked = words;
            var page = await client.PanoramasAsync(asked, cursor, PageSize, closed);
            if (asked != words) return;
            panoramas.AddRange(page.Panoramas);
            cursor = page.Cursor;
            repaint();
            foreach (var panorama in page.Panoramas)
            {
                if (panorama.Head == null || thumbnails.ContainsKey(panorama.Head.Id)) continue;
                if (!panorama.Head.Files.Contains("thumbnail.jpg")) continue;
                var bytes = await client.FileAsync(panorama.Head.Id, "thumbnail.jpg", closed);
                var texture = new Texture2D(2, 2) { hideFlags = HideFlags.HideAndDontSave };
                texture.LoadImage(bytes);
                thumbnails[panorama.Head.Id] = texture;
                repaint();
            }
        }

        private async Task ImportAsync(StudioPanorama panorama, StudioClient client, Action<string, bool> say, CancellationToken closed)
        {
            var settings = PanoramaSettings.instance;
            var path = await Fetched.ImportAsync(
                client, panorama.Head, settings.takesLight, Path.GetFullPath(settings.folder), panorama.Title, null, closed);
            var sky = SkyAssets.Import(settings.folder + "/" + Path.GetFileName(path), settings.kind);
            if (sky != null && ImportPanel.SetsScene) SkyAssets.SetInScene(sky);
            say("Imported " + Path.GetFileName(path), false);
        }

        private async void Work(string what, Func<Task> work, Action<string, bool> say, Action repaint)
        {
            busy = what;
            try
            {
                await work();
            }
            catch (OperationCanceledException)
            {
                return;
            }
            catch (Exception error)
            {
                say(error.Message, true);
            }
            finally
            {
                busy = "";
                repaint();
            }
        }
    }
}

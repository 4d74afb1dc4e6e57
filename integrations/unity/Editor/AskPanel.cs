using System;
using System.Collections.Generic;
using Aognet.Client;
using UnityEditor;
using UnityEngine;

namespace Aognet.Editor
{
    /// <summary>What is asked for: words, a photograph, a model and its settings as the server describes them.</summary>
    [Serializable]
    internal sealed class AskPanel
    {
        [SerializeField] private string prompt = "", negative = "", title = "", photo = "", model = "";
        [SerializeField] private Texture texture;
        [SerializeField] private float yaw, pitch, roll, fov;
        [SerializeField] private long seed;
        [SerializeField] private int height;
        [SerializeField] private bool showsSettings;

        // Changed settings outlive a reload as two lists, since Unity keeps no dictionaries.
        [SerializeField] private List<string> changedPaths = new List<string>(), changedTexts = new List<string>();

        [NonSerialized] private List<Setting> settings;
        [NonSerialized] private StudioModel shown;

        public void Draw(List<StudioModel> models)
        {
            EditorGUILayout.LabelField("Words");
            prompt = EditorGUILayout.TextArea(prompt, GUILayout.MinHeight(48f));
            negative = EditorGUILayout.TextField("Not", negative);
            title = EditorGUILayout.TextField("Title", title);
            DrawPhoto();
            DrawModel(models);
        }

        /// <summary>Returns what is asked for, with its photograph or without. Throws FormatException for what is wrong.</summary>
        public AskedJob Asked(bool withPhoto)
        {
            var asked = new AskedJob
            {
                Prompt = prompt.Trim(), Negative = negative.Trim(), Title = title.Trim(), Model = model, Seed = seed, Height = height,
                Settings = SettingsForm.Changes(settings ?? new List<Setting>()),
            };
            if (asked.Prompt == "" && photo == "" && texture == null)
                throw new FormatException("Say what is to be seen, or give a photograph.");
            var path = !withPhoto ? "" : texture != null ? TextureFiles.Written(texture) : photo;
            var width = fov > 0f ? fov : (double?)null;
            if (path != "") asked.Photos.Add(new AskedPhoto { Path = path, Yaw = yaw, Pitch = pitch, Roll = roll, Fov = width });
            return asked;
        }

        private void DrawPhoto()
        {
            using (new EditorGUILayout.HorizontalScope())
            {
                photo = EditorGUILayout.TextField("Photograph", photo);
                if (GUILayout.Button("...", GUILayout.Width(28f)))
                {
                    var found = EditorUtility.OpenFilePanel("Photograph", "", "jpg,jpeg,png,webp,heic,tif,tiff");
                    if (found != "") photo = found;
                }
            }
            texture = (Texture)EditorGUILayout.ObjectField("or a Texture", texture, typeof(Texture), false);
            if (photo == "" && texture == null) return;
            yaw = EditorGUILayout.Slider("Yaw (right)", yaw, -180f, 180f);
            pitch = EditorGUILayout.Slider("Pitch (up)", pitch, -90f, 90f);
            roll = EditorGUILayout.Slider("Roll (clockwise)", roll, -180f, 180f);
            fov = EditorGUILayout.Slider("Field of view (0: its own)", fov, 0f, 179f);
        }

        private void DrawModel(List<StudioModel> models)
        {
            if (models.Count == 0) return;
            var index = Mathf.Max(models.FindIndex(one => one.Name == model), 0);
            var titles = models.ConvertAll(one => one.Title + " (" + one.Method + ")").ToArray();
            index = EditorGUILayout.Popup("Model", index, titles);
            Choose(models[index]);
            seed = Math.Max(EditorGUILayout.LongField("Seed", seed), 0);
            height = Math.Max(EditorGUILayout.IntField("Rows (0: " + shown.Height + ")", height), 0);
            showsSettings = EditorGUILayout.Foldout(showsSettings, "Settings", true);
            if (!showsSettings) return;
            foreach (var setting in settings) DrawSetting(setting);
        }

        private void Choose(StudioModel chosen)
        {
            if (shown == chosen) return;
            shown = chosen;
            if (model != chosen.Name)
            {
                changedPaths.Clear();
                changedTexts.Clear();
            }
            model = chosen.Name;
            settings = SettingsForm.Of(chosen.Settings);
            foreach (var setting in settings)
            {
                var index = changedPaths.IndexOf(setting.Path);
                if (index >= 0) setting.Text = changedTexts[index];
            }
        }

        private void DrawSetting(Setting setting)
        {
            var label = new GUIContent((setting.IsChanged ? "* " : "") + setting.Path, setting.Description);
            using (new EditorGUILayout.HorizontalScope())
            {
                EditorGUI.BeginChangeCheck();
                setting.Text = Drawn(setting, label);
                if (setting.IsChanged && GUILayout.Button("x", GUILayout.Width(20f))) setting.Reset();
                if (EditorGUI.EndChangeCheck()) Keep(setting);
            }
        }

        private static string Drawn(Setting setting, GUIContent label)
        {
            if (setting.Kind == SettingKind.Flag) return EditorGUILayout.Toggle(label, setting.Text == "true") ? "true" : "false";
            if (setting.Kind != SettingKind.Choice) return EditorGUILayout.DelayedTextField(label, setting.Text);
            var choices = new List<string>(setting.Choices);
            if (setting.IsNullable) choices.Insert(0, "");
            var names = choices.ConvertAll(one => new GUIContent(one == "" ? "(none)" : one)).ToArray();
            return choices[EditorGUILayout.Popup(label, Mathf.Max(choices.IndexOf(setting.Text), 0), names)];
        }

        private void Keep(Setting setting)
        {
            var index = changedPaths.IndexOf(setting.Path);
            if (index >= 0)
            {
                changedPaths.RemoveAt(index);
                changedTexts.RemoveAt(index);
            }
            if (!setting.IsChanged) return;
            changedPaths.Add(setting.Path);
            changedTexts.Add(setting.Text);
        }
    }
}

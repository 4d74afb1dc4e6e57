using System;
using System.Collections.Generic;
using System.Threading;
using Aognet.Client;
using UnityEditor;
using UnityEngine;

namespace Aognet.Editor
{
    /// <summary>The window: a studio, what is asked for, the jobs, and what the studio has painted before.</summary>
    public sealed class PanoramaWindow : EditorWindow
    {
        [SerializeField] private AskPanel ask = new AskPanel();
        [SerializeField] private string server = "";
        [SerializeField] private int tab;
        [SerializeField] private Vector2 scroll;

        private readonly HistoryPanel history = new HistoryPanel();
        private readonly CancellationTokenSource closed = new CancellationTokenSource();
        private List<StudioModel> models = new List<StudioModel>();
        private StudioClient client;
        private string token = "", said = "";
        private bool isWrong;

        [MenuItem("Window/Aognet/Panoramas")]
        public static void Open()
        {
            GetWindow<PanoramaWindow>("Panoramas").minSize = new Vector2(360f, 320f);
        }

        private void OnEnable()
        {
            JobService.Changed += Repaint;
            if (server == "") server = StudioPrefs.Server;
            token = StudioPrefs.TokenOf(server);
            Connect();
        }

        private void OnDisable()
        {
            JobService.Changed -= Repaint;
            closed.Cancel();
            history.Dispose();
            if (client != null) client.Dispose();
        }

        private void OnGUI()
        {
            scroll = EditorGUILayout.BeginScrollView(scroll);
            DrawServer();
            tab = GUILayout.Toolbar(tab, new[] { "New", "Jobs", "History" });
            if (tab == 0) DrawNew();
            else if (tab == 1) JobsPanel.Draw();
            else if (client != null) history.Draw(client, Say, Repaint, closed.Token);
            EditorGUILayout.EndScrollView();
        }

        private void DrawServer()
        {
            EditorGUI.BeginChangeCheck();
            server = EditorGUILayout.DelayedTextField("Server", server).Trim();
            if (EditorGUI.EndChangeCheck())
            {
                token = StudioPrefs.TokenOf(server);
                StudioPrefs.Server = server;
                Connect();
            }
            token = EditorGUILayout.PasswordField("Token", token);
            if (GUILayout.Button("Connect"))
            {
                StudioPrefs.SetToken(server, token.Trim());
                Connect();
            }
            if (client != null && client.TellsToken)
                EditorGUILayout.HelpBox("The token travels unencrypted. Put a proxy with https before the studio.", MessageType.Warning);
            if (said != "") EditorGUILayout.HelpBox(said, isWrong ? MessageType.Error : MessageType.Info);
        }

        private void DrawNew()
        {
            ask.Draw(models);
            using (new EditorGUILayout.HorizontalScope())
            using (new EditorGUI.DisabledScope(models.Count == 0))
            {
                if (GUILayout.Button("How long?")) Plan();
                if (GUILayout.Button("Paint")) Submit();
            }
            ImportPanel.Draw();
        }

        private void Say(string what, bool wrong)
        {
            said = what;
            isWrong = wrong;
            Repaint();
        }

        private async void Connect()
        {
            if (client != null) client.Dispose();
            client = null;
            models.Clear();
            history.Clear();
            Say("", false);
            try
            {
                var asked = client = new StudioClient(server, token);
                var found = await asked.ModelsAsync(closed.Token);
                if (asked != client) return; // another server was named meanwhile
                models = found;
                Say("", false);
            }
            catch (OperationCanceledException)
            {
                return;
            }
            catch (Exception error)
            {
                Say(error.Message, true);
            }
        }

        private async void Plan()
        {
            try
            {
                var cost = await client.PlanAsync(Json.Write(ask.Asked(false).Body()), closed.Token);
                var views = cost.Views == null ? "" : cost.Views + " views";
                var time = cost.Seconds == null ? "" : " about " + Math.Round(cost.Seconds.Value) + " s";
                Say(views + time == "" ? "Nobody knows yet how long this takes." : (views + time).Trim(), false);
            }
            catch (OperationCanceledException)
            {
                return;
            }
            catch (Exception error)
            {
                Say(error.Message, true);
            }
        }

        private void Submit()
        {
            try
            {
                JobService.Submit(ask.Asked(true), client.Address, PanoramaSettings.instance.kind, ImportPanel.SetsScene);
                Say("", false);
                tab = 1;
            }
            catch (Exception error) when (error is FormatException || error is ArgumentException || error is InvalidOperationException)
            {
                Say(error.Message, true);
            }
        }
    }
}

using System;
using System.Collections.Concurrent;
using System.Collections.Generic;
using System.IO;
using System.Threading;
using System.Threading.Tasks;
using Aognet.Client;
using UnityEditor;
using UnityEngine;

namespace Aognet.Editor
{
    /// <summary>
    /// Follows the jobs of the project in the background. A domain reload ends all that runs; the ledger is on the disk, so
    /// what is reloaded, or started again another day, goes on.
    /// </summary>
    [InitializeOnLoad]
    internal static class JobService
    {
        private const string LedgerPath = "UserSettings/AognetJobs.json", Imported = "imported", Kind = "kind", SetsScene = "sets_scene";

        private static readonly ConcurrentQueue<Action> Told = new ConcurrentQueue<Action>();
        private static readonly Queue<LedgerEntry> ToImport = new Queue<LedgerEntry>();
        private static readonly CancellationTokenSource Ended = new CancellationTokenSource();
        private static readonly Dictionary<string, JobRunner> Running = new Dictionary<string, JobRunner>();
        private static readonly Dictionary<string, Texture2D> Previews = new Dictionary<string, Texture2D>();
        private static readonly Dictionary<string, string> WaitReasons = new Dictionary<string, string>();
        private static Ledger ledger;

        /// <summary>Something is to be drawn anew.</summary>
        public static event Action Changed;

        static JobService()
        {
            EditorApplication.update += Update;
            AssemblyReloadEvents.beforeAssemblyReload += Ended.Cancel;
            EditorApplication.quitting += Ended.Cancel;
            EditorApplication.delayCall += Resume;
        }

        /// <summary>The jobs, the newest first.</summary>
        public static List<LedgerEntry> Jobs
        {
            get
            {
                var jobs = Kept.Entries;
                jobs.Reverse();
                return jobs;
            }
        }

        private static Ledger Kept
        {
            get
            {
                if (ledger == null)
                {
                    var root = Path.GetDirectoryName(Application.dataPath);
                    ledger = new Ledger(Path.Combine(root, LedgerPath), root);
                    if (ledger.Damaged != "") Debug.LogWarning("The list of panorama jobs was damaged; it lies in " + ledger.Damaged);
                }
                return ledger;
            }
        }

        /// <summary>Begins a job. What becomes of its panorama is kept with it.</summary>
        public static void Submit(AskedJob asked, string server, SkyKind kind, bool setsScene)
        {
            var settings = PanoramaSettings.instance;
            var entry = LedgerEntry.Of(asked, server, settings.folder);
            entry.WantsLight = settings.takesLight;
            entry.Note = new Dictionary<string, object> { { Kind, kind.ToString() }, { SetsScene, setsScene } };
            Kept.Add(entry);
            Start(entry);
        }

        public static void Cancel(LedgerEntry entry)
        {
            if (Running.TryGetValue(entry.Key, out var runner)) runner.Cancel();
        }

        public static void Retry(LedgerEntry entry)
        {
            Kept.Change(entry.Retry);
            Start(entry);
        }

        public static void Forget(LedgerEntry entry)
        {
            Kept.Remove(entry);
        }

        /// <summary>Returns the last view that was painted, or null.</summary>
        public static Texture2D PreviewOf(LedgerEntry entry)
        {
            return Previews.TryGetValue(entry.Key, out var preview) ? preview : null;
        }

        /// <summary>Returns why a job waits for its server, or "".</summary>
        public static string WaitOf(LedgerEntry entry)
        {
            return WaitReasons.TryGetValue(entry.Key, out var why) ? why : "";
        }

        private static void Resume()
        {
            foreach (var entry in Kept.Entries)
            {
                if (!entry.IsOver) Start(entry);
                else if (IsToImport(entry)) ToImport.Enqueue(entry);
            }
        }

        private static async void Start(LedgerEntry entry)
        {
            if (Running.ContainsKey(entry.Key)) return;
            var key = entry.Key;
            try
            {
                using (var client = new StudioClient(entry.Server, StudioPrefs.TokenOf(entry.Server)))
                {
                    var runner = new JobRunner(Kept, entry, client, new Listener());
                    Running[key] = runner;
                    await runner.RunAsync(Ended.Token);
                }
            }
            catch (OperationCanceledException)
            {
                return; // it goes on after the reload
            }
            catch (Exception error)
            {
                Kept.Change(() =>
                {
                    entry.State = LedgerEntry.Failed;
                    entry.Error = error.Message;
                });
                Debug.LogException(error);
            }
            finally
            {
                Running.Remove(key);
            }
        }

        private static void Update()
        {
            var isChanged = false;
            while (Told.TryDequeue(out var told))
            {
                told();
                isChanged = true;
            }
            // A scene that is played is not the one that is saved; and nothing is imported while scripts are compiled.
            var isBusy = EditorApplication.isPlayingOrWillChangePlaymode || EditorApplication.isCompiling || EditorApplication.isUpdating;
            while (!isBusy && ToImport.Count > 0)
            {
                Import(ToImport.Dequeue());
                isChanged = true;
            }
            if (isChanged && Changed != null) Changed();
        }

        private static bool IsToImport(LedgerEntry entry)
        {
            return entry.State == LedgerEntry.Done && !entry.Note.Flag(Imported) && entry.Note.ContainsKey(Kind);
        }

        private static void Import(LedgerEntry entry)
        {
            if (!IsToImport(entry)) return;
            var kind = entry.Note.Text(Kind) == SkyKind.Cubemap.ToString() ? SkyKind.Cubemap : SkyKind.Panoramic;
            var sky = SkyAssets.Import(entry.File.Replace('\\', '/'), kind);
            if (sky == null) Debug.LogWarning(entry.File + " could not be imported as a panorama");
            else if (entry.Note.Flag(SetsScene)) SkyAssets.SetInScene(sky);
            Kept.Change(() => entry.Note[Imported] = true);
        }

        private static void Show(LedgerEntry entry, byte[] preview)
        {
            if (!Previews.TryGetValue(entry.Key, out var texture))
            {
                texture = new Texture2D(2, 2) { hideFlags = HideFlags.HideAndDontSave };
                Previews[entry.Key] = texture;
            }
            texture.LoadImage(preview);
        }

        /// <summary>Passes what is heard on any thread to the main one.</summary>
        private sealed class Listener : IJobListener
        {
            public void Changed(LedgerEntry entry)
            {
                Told.Enqueue(() =>
                {
                    WaitReasons.Remove(entry.Key);
                    if (IsToImport(entry)) ToImport.Enqueue(entry);
                });
            }

            public void Viewed(LedgerEntry entry, byte[] preview)
            {
                Told.Enqueue(() => Show(entry, preview));
            }

            public void Waits(LedgerEntry entry, string why, double seconds)
            {
                Told.Enqueue(() => WaitReasons[entry.Key] = why);
            }
        }
    }
}

using System;
using System.Collections.Generic;
using System.IO;
using System.Threading;
using System.Threading.Tasks;
using Aognet.Client;
using UnityEngine;

namespace Aognet
{
    /// <summary>
    /// Lets who uses a program choose what is around them: from a catalogue, a folder and a studio. It draws its own list, or
    /// is told by other code.
    /// </summary>
    [AddComponentMenu("Aognet/Panorama Chooser")]
    public sealed class PanoramaChooser : MonoBehaviour
    {
        [Tooltip("Panoramas that are built in.")]
        public PanoramaCatalogue catalogue;

        [Tooltip("A folder that is listed at run time: .png, .jpg and .hdr files. Relative to StreamingAssets.")]
        public string folder = "";

        [Tooltip("The address of a studio, like http://127.0.0.1:7860, whose panoramas are listed at run time.")]
        public string server = "";

        [Tooltip("A Material with the shader Skybox/Panoramic, so that builds contain it.")]
        public Material template;

        [Tooltip("What of a panorama is ahead, in degrees to the right of its middle.")]
        public float yawDegrees;

        [Tooltip("Whether a list is drawn on the screen.")]
        public bool showsList = true;

        /// <summary>The token of the studio. It is no field of the scene, since everybody can read what a build contains.</summary>
        [NonSerialized]
        public string Token = "";

        private readonly List<PanoramaChoice> choices = new List<PanoramaChoice>();
        private CancellationTokenSource ended, loading = new CancellationTokenSource();
        private ShownPanorama shown;
        private StudioClient client;
        private ChooserList list;
        private int chosen = -1;

        /// <summary>What there is to choose from.</summary>
        public IList<PanoramaChoice> Choices
        {
            get { return choices.AsReadOnly(); }
        }

        /// <summary>The index of what is shown, or -1.</summary>
        public int Chosen
        {
            get { return chosen; }
        }

        /// <summary>Is told the index of what is shown.</summary>
        public event Action<int> Changed;

        private async void OnEnable()
        {
            ended = new CancellationTokenSource();
            shown = new ShownPanorama();
            if (showsList) list = new ChooserList(Choose, Step, Refresh);
            await RefreshAsync(ended.Token);
            if (chosen < 0 && choices.Count > 0) Choose(0);
        }

        private void OnDisable()
        {
            ended.Cancel();
            loading.Cancel();
            shown.Dispose();
            if (list != null) list.Dispose();
            if (client != null) client.Dispose();
            list = null;
            client = null;
            chosen = -1;
        }

        /// <summary>Looks again for what there is.</summary>
        public async void Refresh()
        {
            await RefreshAsync(ended.Token);
        }

        /// <summary>Shows the next one, or the one before with -1; after the last comes the first.</summary>
        public void Step(int by)
        {
            if (choices.Count > 0) Choose(((chosen + by) % choices.Count + choices.Count) % choices.Count);
        }

        /// <summary>Shows what has an index. What is still being loaded is forgotten.</summary>
        public async void Choose(int index)
        {
            loading.Cancel();
            loading = CancellationTokenSource.CreateLinkedTokenSource(ended.Token);
            var cancel = loading.Token;
            var choice = choices[index];
            Say("Loading " + choice.Title);
            try
            {
                var loaded = await choice.Load(cancel);
                if (cancel.IsCancellationRequested)
                {
                    loaded.Discard();
                    return;
                }
                shown.Show(loaded, template, yawDegrees);
                chosen = index;
                Say(choice.Title);
                if (Changed != null) Changed(index);
            }
            catch (OperationCanceledException)
            {
                return; // another was chosen
            }
            catch (Exception error)
            {
                Say(choice.Title + ": " + error.Message);
            }
        }

        private async Task RefreshAsync(CancellationToken cancel)
        {
            loading.Cancel();
            var found = new List<PanoramaChoice>();
            if (catalogue != null) found.AddRange(PanoramaSources.OfCatalogue(catalogue));
            var wrong = folder == "" ? "" : await AddAsync(found, () => Task.FromResult(PanoramaSources.OfFolder(Path.Combine(Application.streamingAssetsPath, folder))));
            if (server != "") wrong += await AddAsync(found, () => OfServerAsync(cancel));
            if (cancel.IsCancellationRequested) return;
            var before = chosen < 0 ? "" : choices[chosen].Title;
            choices.Clear();
            choices.AddRange(found);
            chosen = choices.FindIndex(one => one.Title == before);
            if (list != null) list.Fill(choices);
            Say(wrong != "" ? wrong : choices.Count + " panoramas");
        }

        /// <summary>Adds what a source has, and returns why it has nothing, or "": the others are shown all the same.</summary>
        private static async Task<string> AddAsync(List<PanoramaChoice> found, Func<Task<List<PanoramaChoice>>> source)
        {
            try
            {
                found.AddRange(await source());
                return "";
            }
            catch (Exception error)
            {
                return error.Message + " ";
            }
        }

        private Task<List<PanoramaChoice>> OfServerAsync(CancellationToken cancel)
        {
            if (client != null) client.Dispose();
            client = new StudioClient(server, Token);
            return PanoramaSources.OfServerAsync(client, cancel);
        }

        private void Say(string what)
        {
            if (list != null) list.Say(what);
            else Debug.Log(what, this);
        }
    }
}

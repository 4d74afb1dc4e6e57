using System;
using System.Collections.Generic;
using System.IO;
using System.Threading;
using System.Threading.Tasks;
using Aognet.Client;

namespace Aognet
{
    /// <summary>Where panoramas are found: a catalogue, a folder, a studio.</summary>
    public static class PanoramaSources
    {
        private const int MostBytes = 1 << 30, MostOfServer = 200;

        /// <summary>Lists the panoramas of a catalogue.</summary>
        public static List<PanoramaChoice> OfCatalogue(PanoramaCatalogue catalogue)
        {
            var found = new List<PanoramaChoice>();
            foreach (var entry in catalogue.entries)
            {
                if (entry.material == null && entry.cubemap == null && entry.texture == null) continue;
                var loaded = new LoadedPanorama { Material = entry.material, Cubemap = entry.cubemap, Texture = entry.texture };
                found.Add(new PanoramaChoice(entry.title, cancel => Task.FromResult(loaded)));
            }
            return found;
        }

        /// <summary>Lists the panoramas of a folder, in the order of their names.</summary>
        public static List<PanoramaChoice> OfFolder(string folder)
        {
            var found = new List<PanoramaChoice>();
            var files = Directory.GetFiles(folder);
            Array.Sort(files, StringComparer.OrdinalIgnoreCase);
            foreach (var file in files)
            {
                if (!PanoramaTextures.IsReadable(file)) continue;
                var path = file;
                found.Add(new PanoramaChoice(Path.GetFileNameWithoutExtension(path), cancel => FromDiskAsync(path, cancel)));
            }
            return found;
        }

        /// <summary>Lists the panoramas of a studio, the most recently changed first. The client lives as long as they do.</summary>
        public static async Task<List<PanoramaChoice>> OfServerAsync(StudioClient client, CancellationToken cancel)
        {
            var found = new List<PanoramaChoice>();
            var page = await client.PanoramasAsync("", "", MostOfServer, cancel);
            foreach (var panorama in page.Panoramas)
            {
                var head = panorama.Head;
                if (head != null) found.Add(new PanoramaChoice(panorama.Title, stop => FromServerAsync(client, head, stop)));
            }
            return found;
        }

        private static async Task<LoadedPanorama> FromDiskAsync(string path, CancellationToken cancel)
        {
            if (new FileInfo(path).Length > MostBytes) throw new FormatException("it is larger than 1 GiB");
            var bytes = await Task.Run(() => File.ReadAllBytes(path), cancel);
            cancel.ThrowIfCancellationRequested();
            return new LoadedPanorama { Texture = PanoramaTextures.Of(bytes), IsOwned = true };
        }

        private static async Task<LoadedPanorama> FromServerAsync(StudioClient client, StudioVersion version, CancellationToken cancel)
        {
            var bytes = version.HasLight
                ? await client.LightAsync(version.Id, cancel)
                : await client.FileAsync(version.Id, "result.png", cancel);
            cancel.ThrowIfCancellationRequested();
            return new LoadedPanorama { Texture = PanoramaTextures.Of(bytes), IsOwned = true };
        }
    }
}

using System;
using System.Collections.Generic;
using System.IO;
using System.Threading;
using System.Threading.Tasks;

namespace Aognet.Client
{
    /// <summary>Panoramas from the studio to the disk.</summary>
    public static class Fetched
    {
        /// <summary>Returns the name of the file of a version: its light where that is wanted and there, else its picture.</summary>
        public static string NameOf(StudioVersion version, bool wantsLight)
        {
            return wantsLight && version.HasLight ? "result.exr" : "result.png";
        }

        /// <summary>
        /// Writes the panorama of a version into a folder, under a hidden name that Unity does not import, and returns its
        /// path. Throws StudioException if what comes is no panorama.
        /// </summary>
        internal static async Task<string> FetchAsync(
            StudioClient client, StudioVersion version, bool wantsLight, string folder, string key,
            Action<double> told, CancellationToken cancel)
        {
            Directory.CreateDirectory(folder);
            var name = NameOf(version, wantsLight);
            var path = Path.Combine(folder, "." + FileNames.Safe(key) + Path.GetExtension(name));
            try
            {
                await client.DownloadAsync(version.Id, name, path, told, cancel).ConfigureAwait(false);
                ImageHeader header;
                using (var file = File.OpenRead(path)) header = ImageHeader.Read(file);
                if (!header.IsPanorama) throw new FormatException("it has " + header.Width + "x" + header.Height + " pixels");
                return path;
            }
            catch (Exception error)
            {
                File.Delete(path);
                if (error is FormatException) throw new StudioException(name + " is no panorama: " + error.Message, 500);
                throw;
            }
        }

        /// <summary>Writes the panorama of a version into a folder under a new name, and returns its path.</summary>
        public static async Task<string> ImportAsync(
            StudioClient client, StudioVersion version, bool wantsLight, string folder, string title,
            Action<double> told, CancellationToken cancel)
        {
            var hidden = await FetchAsync(client, version, wantsLight, folder, version.Id, told, cancel).ConfigureAwait(false);
            var path = FileNames.Free(folder, FileNames.Safe(title), Path.GetExtension(hidden));
            File.Move(hidden, path);
            return path;
        }
    }
}

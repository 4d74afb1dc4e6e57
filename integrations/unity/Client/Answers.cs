using System;
using System.Collections.Generic;

namespace Aognet.Client
{
    /// <summary>A model on offer, with the JSON schema of its settings. Height: the rows of its panoramas.</summary>
    public sealed class StudioModel
    {
        public string Name, Title, Method;
        public int Height;
        public Dictionary<string, object> Settings;

        internal static StudioModel Of(IDictionary<string, object> map)
        {
            return new StudioModel
            {
                Name = map.Text("name"), Title = map.Text("title"), Method = map.Text("method"),
                Height = (int)map.Whole("height"), Settings = map.Map("settings"),
            };
        }
    }

    /// <summary>An image that was taken in, in pixels. ExifFov: its horizontal field of view in degrees, if known.</summary>
    public sealed class StudioUpload
    {
        public string Id;
        public int Width, Height;
        public double? ExifFov;
        public bool IsPanorama;

        internal static StudioUpload Of(IDictionary<string, object> map)
        {
            return new StudioUpload
            {
                Id = Ids.Checked(map.Text("id")), Width = (int)map.Whole("width"), Height = (int)map.Whole("height"),
                ExifFov = map.Real("exif_fov"), IsPanorama = map.Flag("is_panorama"),
            };
        }
    }

    /// <summary>A job: Done of Total of a Stage. VersionId: what it made, or "". Waiting: how many are before it.</summary>
    public sealed class StudioJob
    {
        public string Id, State, Title, Error, Stage, VersionId;
        public int Done, Total, Waiting;

        internal static StudioJob Of(IDictionary<string, object> map)
        {
            var progress = map.Map("progress");
            var version = map.Text("version_id");
            return new StudioJob
            {
                Id = Ids.Checked(map.Text("id")), State = map.Text("state"), Title = map.Text("title"),
                Error = map.Text("error"), Stage = progress.Text("stage"), Done = (int)progress.Whole("done"),
                Total = (int)progress.Whole("total"), Waiting = (int)map.Whole("waiting"),
                VersionId = version == "" ? "" : Ids.Checked(version),
            };
        }
    }

    /// <summary>A finished panorama. Files: the names of its files.</summary>
    public sealed class StudioVersion
    {
        public string Id;
        public List<string> Files;

        /// <summary>Whether it has light, not display values alone.</summary>
        public bool HasLight
        {
            get { return Files.Contains("result.exr"); }
        }

        internal static StudioVersion Of(IDictionary<string, object> map)
        {
            return new StudioVersion { Id = Ids.Checked(map.Text("id")), Files = new List<string>(map.Map("files").Keys) };
        }
    }

    /// <summary>A document of the studio. Head: its present version, or null. Updated: in UTC.</summary>
    public sealed class StudioPanorama
    {
        public string Id, Title;
        public DateTime Updated;
        public StudioVersion Head;

        internal static StudioPanorama Of(IDictionary<string, object> map)
        {
            var head = map.Map("head");
            return new StudioPanorama
            {
                Id = Ids.Checked(map.Text("id")), Title = map.Text("title"), Updated = Time(map.Real("updated") ?? 0),
                Head = head.Count == 0 ? null : StudioVersion.Of(head),
            };
        }

        private static DateTime Time(double seconds)
        {
            if (!(Math.Abs(seconds) < 1e11)) throw new FormatException("\"updated\" is no time");
            return new DateTime(1970, 1, 1, 0, 0, 0, DateTimeKind.Utc).AddSeconds(seconds);
        }
    }

    /// <summary>One page of panoramas. Cursor: what asks for the next one, or "".</summary>
    public sealed class PanoramaPage
    {
        public List<StudioPanorama> Panoramas;
        public string Cursor;

        internal static PanoramaPage Of(IDictionary<string, object> map)
        {
            return new PanoramaPage { Panoramas = map.Maps("panoramas").ConvertAll(StudioPanorama.Of), Cursor = map.Text("cursor") };
        }
    }

    /// <summary>What a job would take. Null: not known.</summary>
    public sealed class StudioCost
    {
        public double? Views, Seconds;

        internal static StudioCost Of(IDictionary<string, object> map)
        {
            return new StudioCost { Views = map.Real("views"), Seconds = map.Real("seconds_estimate") };
        }
    }

    /// <summary>Something that happened to a job: "state", "progress", "view" or "preview".</summary>
    public sealed class StudioEvent
    {
        public long Number;
        public string Kind;
        public Dictionary<string, object> Data;
    }

    /// <summary>Ids stand in addresses and names of files, so nothing else than an id may look like one.</summary>
    internal static class Ids
    {
        public static string Checked(string id)
        {
            var isGood = id.Length >= 1 && id.Length <= 32;
            foreach (var letter in id) isGood &= (letter >= '0' && letter <= '9') || (letter >= 'a' && letter <= 'z');
            if (!isGood) throw new FormatException("an id is missing or none");
            return id;
        }
    }
}

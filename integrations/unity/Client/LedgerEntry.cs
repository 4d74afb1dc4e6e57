using System;
using System.Collections.Generic;

namespace Aognet.Client
{
    /// <summary>A job of this project, as it is kept on the disk.</summary>
    public sealed class LedgerEntry
    {
        /// <summary>States: not yet submitted, and those of the studio.</summary>
        public const string New = "new", Queued = "queued", Running = "running", Done = "done", Failed = "failed", Cancelled = "cancelled";

        /// <summary>Key: makes one job of any number of submissions. Body: what is asked for. Note: of whom the ledger serves.</summary>
        public string Key = "", Server = "", Title = "", Folder = "", JobId = "", VersionId = "", State = New, Error = "", File = "";
        public string Stage = "";
        public Dictionary<string, object> Body = new Dictionary<string, object>(), Note = new Dictionary<string, object>();
        public List<string> Photos = new List<string>(), Uploads = new List<string>();
        public int DoneCount, TotalCount;
        public long LastEvent;

        /// <summary>IsAsked: a submission may have reached the studio.</summary>
        public bool IsAsked, IsCancelAsked, WantsLight;

        /// <summary>Whether nothing more happens to it.</summary>
        public bool IsOver
        {
            get { return State == Done || State == Failed || State == Cancelled; }
        }

        /// <summary>Returns a new entry. Folder: where the panorama is written.</summary>
        public static LedgerEntry Of(AskedJob asked, string server, string folder)
        {
            return new LedgerEntry
            {
                Key = Guid.NewGuid().ToString("N"), Server = server, Folder = folder, Body = asked.Body(),
                Title = asked.Title != "" ? asked.Title : asked.Prompt != "" ? asked.Prompt : "panorama",
                Photos = asked.Photos.ConvertAll(photo => photo.Path),
            };
        }

        /// <summary>Makes a job that is over begin again: from where it was, or as a new one if the studio has ended it.</summary>
        public void Retry()
        {
            if (JobId != "" && VersionId == "")
            {
                Key = Guid.NewGuid().ToString("N");
                JobId = "";
                IsAsked = false;
                LastEvent = 0;
            }
            State = New;
            Error = Stage = "";
            IsCancelAsked = false;
        }

        /// <summary>Returns the body as it is sent, with the ids of its photographs.</summary>
        internal Dictionary<string, object> SentBody()
        {
            var poses = new List<object>();
            for (var index = 0; index < Uploads.Count; index++)
                poses.Add(new Dictionary<string, object>(Body.Maps("photos")[index]) { { "upload", Uploads[index] } });
            return new Dictionary<string, object>(Body) { ["photos"] = poses };
        }

        internal Dictionary<string, object> ToMap()
        {
            return new Dictionary<string, object>
            {
                { "key", Key }, { "server", Server }, { "title", Title }, { "folder", Folder }, { "job", JobId }, { "version", VersionId },
                { "state", State }, { "error", Error }, { "file", File }, { "stage", Stage }, { "body", Body }, { "note", Note },
                { "photos", new List<object>(Photos) }, { "uploads", new List<object>(Uploads) }, { "done", DoneCount },
                { "total", TotalCount },
                { "last_event", LastEvent }, { "asked", IsAsked }, { "cancel_asked", IsCancelAsked }, { "light", WantsLight },
            };
        }

        internal static LedgerEntry Of(IDictionary<string, object> map)
        {
            var entry = new LedgerEntry
            {
                Key = map.Text("key"), Server = map.Text("server"), Title = map.Text("title"), Folder = map.Text("folder"),
                JobId = map.Text("job"), VersionId = map.Text("version"), State = map.Text("state"), Error = map.Text("error"),
                File = map.Text("file"), Stage = map.Text("stage"), Body = map.Map("body"), Note = map.Map("note"),
                Photos = Texts(map, "photos"), Uploads = Texts(map, "uploads"), DoneCount = (int)map.Whole("done"),
                TotalCount = (int)map.Whole("total"), LastEvent = map.Whole("last_event"), IsAsked = map.Flag("asked"),
                IsCancelAsked = map.Flag("cancel_asked"), WantsLight = map.Flag("light"),
            };
            if (entry.Key == "" || entry.Body.Maps("photos").Count != entry.Photos.Count || entry.Uploads.Count > entry.Photos.Count)
                throw new FormatException("a job is incomplete");
            return entry;
        }

        private static List<string> Texts(IDictionary<string, object> map, string name)
        {
            return map.List(name).ConvertAll(one => one as string ?? "");
        }
    }
}

using System;
using System.Collections.Generic;
using System.IO;
using System.Text;

namespace Aognet.Client
{
    /// <summary>
    /// The jobs of a project, in a file that is whole at any moment: what is killed goes on from there. May be used by
    /// several threads.
    /// </summary>
    public sealed class Ledger
    {
        /// <summary>So many jobs that are over are kept.</summary>
        public const int MaxOver = 200;
        private const long MaxBytes = 64L << 20;

        /// <summary>The file that could not be read and was put aside, or "".</summary>
        public readonly string Damaged = "";
        private readonly string path, root;
        private readonly List<LedgerEntry> entries = new List<LedgerEntry>();

        /// <summary>
        /// Reads a file. One that is damaged is put aside, and the ledger begins anew. Root: the folder of the project, to
        /// which paths are relative, so that it may be moved.
        /// </summary>
        public Ledger(string path, string root)
        {
            this.root = Path.GetFullPath(root);
            this.path = Path.GetFullPath(path);
            Directory.CreateDirectory(Path.GetDirectoryName(this.path));
            if (!File.Exists(this.path)) return;
            try
            {
                if (new FileInfo(this.path).Length > MaxBytes) throw new FormatException("too large");
                entries = Json.ReadMap(File.ReadAllText(this.path, Encoding.UTF8)).Maps("jobs").ConvertAll(LedgerEntry.Of);
            }
            catch (FormatException)
            {
                Damaged = FileNames.Free(Path.GetDirectoryName(this.path), Path.GetFileName(this.path), ".damaged");
                File.Move(this.path, Damaged);
            }
        }

        /// <summary>Returns the whole path of one that is relative to the project's folder.</summary>
        public string Absolute(string relative)
        {
            return Path.Combine(root, relative);
        }

        /// <summary>The jobs, the oldest first.</summary>
        public List<LedgerEntry> Entries
        {
            get { lock (entries) return new List<LedgerEntry>(entries); }
        }

        /// <summary>Adds a job and writes the file.</summary>
        public void Add(LedgerEntry entry)
        {
            lock (entries)
            {
                entries.Add(entry);
                Write();
            }
        }

        /// <summary>Forgets a job that is over.</summary>
        public void Remove(LedgerEntry entry)
        {
            lock (entries)
            {
                if (entry.IsOver) entries.Remove(entry);
                Write();
            }
        }

        /// <summary>Changes jobs and writes the file, so that no other thread sees a part of it.</summary>
        public void Change(Action change)
        {
            lock (entries)
            {
                change();
                Write();
            }
        }

        private void Write()
        {
            var over = entries.FindAll(one => one.IsOver);
            foreach (var old in over.GetRange(0, Math.Max(over.Count - MaxOver, 0))) entries.Remove(old);
            var jobs = new List<object>();
            foreach (var entry in entries) jobs.Add(entry.ToMap());
            var text = Json.Write(new Dictionary<string, object> { { "version", 1 }, { "jobs", jobs } });
            using (var file = new FileStream(path + ".new", FileMode.Create))
            {
                var bytes = Encoding.UTF8.GetBytes(text);
                file.Write(bytes, 0, bytes.Length);
                file.Flush(true);
            }
            if (File.Exists(path)) File.Replace(path + ".new", path, null);
            else File.Move(path + ".new", path);
        }
    }
}

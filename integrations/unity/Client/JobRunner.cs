using System;
using System.Collections.Generic;
using System.IO;
using System.Threading;
using System.Threading.Tasks;

namespace Aognet.Client
{
    /// <summary>Hears of a job. It is called on any thread.</summary>
    public interface IJobListener
    {
        /// <summary>The entry has changed.</summary>
        void Changed(LedgerEntry entry);

        /// <summary>A view was painted. Preview: JPEG.</summary>
        void Viewed(LedgerEntry entry, byte[] preview);

        /// <summary>The studio is away or busy, and is asked again after some seconds.</summary>
        void Waits(LedgerEntry entry, string why, double seconds);
    }

    /// <summary>
    /// Brings a job from whatever state it is in to its end: photographs sent, submitted once, followed, its panorama on the
    /// disk. After a kill, the same call goes on.
    /// </summary>
    public sealed class JobRunner
    {
        private const double FirstWait = 1, LongestWait = 30, QueuedWait = 2, StreamWait = 0.2;
        private readonly Ledger ledger;
        private readonly LedgerEntry entry;
        private readonly StudioClient client;
        private readonly IJobListener listener;
        private CancellationTokenSource nudge = new CancellationTokenSource();

        public JobRunner(Ledger ledger, LedgerEntry entry, StudioClient client, IJobListener listener)
        {
            this.ledger = ledger;
            this.entry = entry;
            this.client = client;
            this.listener = listener;
        }

        /// <summary>Asks for the end of the job. What is under way hears of it at once.</summary>
        public void Cancel()
        {
            ledger.Change(() => entry.IsCancelAsked = true);
            nudge.Cancel();
        }

        /// <summary>Goes on until the job is over. Throws OperationCanceledException when this program wants to end.</summary>
        public async Task RunAsync(CancellationToken cancel)
        {
            var wait = FirstWait;
            while (!entry.IsOver)
            {
                cancel.ThrowIfCancellationRequested();
                if (nudge.IsCancellationRequested) nudge = new CancellationTokenSource();
                var seconds = 0.0;
                using (var both = CancellationTokenSource.CreateLinkedTokenSource(cancel, nudge.Token))
                {
                    try
                    {
                        await StepAsync(both.Token).ConfigureAwait(false);
                        wait = FirstWait;
                    }
                    catch (OperationCanceledException)
                    {
                        cancel.ThrowIfCancellationRequested();
                    }
                    catch (StudioException error) when (error.IsTransient)
                    {
                        seconds = Math.Max(wait, error.RetrySeconds);
                        wait = Math.Min(wait * 2, LongestWait);
                        listener.Waits(entry, error.Message, seconds);
                    }
                    catch (Exception error) when (IsOfJob(error))
                    {
                        Over(LedgerEntry.Failed, error.Message);
                    }
                    if (seconds > 0) await PauseAsync(seconds, both.Token, cancel).ConfigureAwait(false);
                }
            }
        }

        private static bool IsOfJob(Exception error)
        {
            return error is StudioException || error is IOException || error is UnauthorizedAccessException
                || error is FormatException || error is ArgumentException || error is NotSupportedException;
        }

        private static async Task PauseAsync(double seconds, CancellationToken either, CancellationToken cancel)
        {
            try
            {
                await Task.Delay(TimeSpan.FromSeconds(seconds), either).ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
                cancel.ThrowIfCancellationRequested();
            }
        }

        private async Task StepAsync(CancellationToken cancel)
        {
            if (entry.JobId == "")
            {
                if (entry.IsCancelAsked && !entry.IsAsked) Over(LedgerEntry.Cancelled, "");
                else await SubmitAsync(cancel).ConfigureAwait(false);
                return;
            }
            var job = entry.IsCancelAsked && entry.State != LedgerEntry.Done
                ? await client.CancelAsync(entry.JobId, cancel).ConfigureAwait(false)
                : await client.JobAsync(entry.JobId, cancel).ConfigureAwait(false);
            if (job.State == LedgerEntry.Done) await FetchAsync(job, cancel).ConfigureAwait(false);
            else if (job.State == LedgerEntry.Failed || job.State == LedgerEntry.Cancelled) Over(job.State, job.Error);
            else
            {
                Told(job);
                var isRunning = job.State == LedgerEntry.Running;
                if (isRunning)
                    await client.FollowAsync(entry.JobId, entry.LastEvent, one => HearAsync(one, cancel), cancel).ConfigureAwait(false);
                // A proxy may end streams at once.
                await Task.Delay(TimeSpan.FromSeconds(isRunning ? StreamWait : QueuedWait), cancel).ConfigureAwait(false);
            }
        }

        private async Task SubmitAsync(CancellationToken cancel)
        {
            while (entry.Uploads.Count < entry.Photos.Count)
            {
                var upload = await client.UploadAsync(ledger.Absolute(entry.Photos[entry.Uploads.Count]), cancel).ConfigureAwait(false);
                ledger.Change(() => entry.Uploads.Add(upload.Id));
            }
            // Another upload would be another body, which the studio refuses under the same key: both are on the disk first.
            if (!entry.IsAsked) ledger.Change(() => entry.IsAsked = true);
            var job = await client.SubmitAsync(Json.Write(entry.SentBody()), entry.Key, cancel).ConfigureAwait(false);
            ledger.Change(() => entry.JobId = job.Id);
            // One that has ended, since the first answer was lost, is brought to its end by the next step.
            if (job.State == LedgerEntry.Queued || job.State == LedgerEntry.Running) Told(job);
        }

        private void Told(StudioJob job)
        {
            ledger.Change(() =>
            {
                entry.State = job.State;
                entry.Stage = job.State == LedgerEntry.Queued ? job.Waiting + " before it" : job.Stage;
                entry.DoneCount = job.Done;
                entry.TotalCount = job.Total;
            });
            listener.Changed(entry);
        }

        private async Task HearAsync(StudioEvent one, CancellationToken cancel)
        {
            entry.LastEvent = one.Number; // written with the next change; an event that is heard twice harms nothing
            if (one.Kind == "progress")
            {
                entry.Stage = one.Data.Text("stage");
                entry.DoneCount = (int)one.Data.Whole("done");
                entry.TotalCount = (int)one.Data.Whole("total");
                listener.Changed(entry);
            }
            else if (one.Kind == "view" || one.Kind == "preview") await ShowAsync(one, cancel).ConfigureAwait(false);
        }

        private async Task ShowAsync(StudioEvent one, CancellationToken cancel)
        {
            try
            {
                listener.Viewed(entry, one.Kind == "view"
                    ? await client.ViewAsync(entry.JobId, one.Data.Whole("index"), cancel).ConfigureAwait(false)
                    : await client.StepAsync(entry.JobId, one.Data.Text("step"), cancel).ConfigureAwait(false));
            }
            catch (StudioException error) when (error.Status == 404)
            {
                listener.Changed(entry); // it was painted anew meanwhile
            }
        }

        private async Task FetchAsync(StudioJob job, CancellationToken cancel)
        {
            if (entry.File != "" && File.Exists(ledger.Absolute(entry.File)))
            {
                Over(LedgerEntry.Done, "");
                return;
            }
            var folder = ledger.Absolute(entry.Folder);
            var version = await client.VersionAsync(job.VersionId, cancel).ConfigureAwait(false);
            ledger.Change(() => entry.VersionId = version.Id);
            var fetched = await Fetched.FetchAsync(client, version, entry.WantsLight, folder, entry.Key, share =>
            {
                entry.Stage = "download";
                entry.DoneCount = (int)(share * 100);
                entry.TotalCount = 100;
                listener.Changed(entry);
            }, cancel).ConfigureAwait(false);
            ledger.Change(() =>
            {
                // The name is on the disk before the file has it: after a kill, the file is not there twice.
                ledger.Change(() =>
                {
                    var path = FileNames.Free(folder, FileNames.Safe(entry.Title), Path.GetExtension(fetched));
                    entry.File = Path.Combine(entry.Folder, Path.GetFileName(path));
                });
                File.Move(fetched, ledger.Absolute(entry.File));
                entry.State = LedgerEntry.Done;
                entry.Error = "";
            });
            listener.Changed(entry);
        }

        private void Over(string state, string error)
        {
            ledger.Change(() =>
            {
                entry.State = state;
                entry.Error = error;
            });
            listener.Changed(entry);
        }
    }
}

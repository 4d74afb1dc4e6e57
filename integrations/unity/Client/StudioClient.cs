using System;
using System.Collections.Generic;
using System.IO;
using System.Net.Http;
using System.Net.Http.Headers;
using System.Text;
using System.Threading;
using System.Threading.Tasks;

namespace Aognet.Client
{
    /// <summary>
    /// The API of a studio (docs/openapi.json). Every method throws StudioException for what the studio refuses, and
    /// OperationCanceledException when it is cancelled. No address that the server names is followed.
    /// </summary>
    public sealed class StudioClient : IDisposable
    {
        private const long MostJson = 16L << 20, MostPreview = 16L << 20, MostFile = 2L << 30;
        private readonly Connection connection;

        /// <summary>Token: "" where none is needed. Throws ArgumentException for an address or a token that cannot be one.</summary>
        public StudioClient(string address, string token)
        {
            connection = new Connection(address, token);
        }

        /// <summary>The address, without a slash at its end.</summary>
        public string Address
        {
            get { return connection.Address; }
        }

        /// <summary>Whether the token travels unencrypted to another machine.</summary>
        public bool TellsToken
        {
            get { return connection.TellsToken; }
        }

        public void Dispose()
        {
            connection.Dispose();
        }

        /// <summary>Returns the models on offer.</summary>
        public async Task<List<StudioModel>> ModelsAsync(CancellationToken cancel)
        {
            var text = await TextAsync(HttpMethod.Get, "/models", null, "", cancel).ConfigureAwait(false);
            return Understood(() => Json.ReadMap("{\"models\":" + text + "}").Maps("models").ConvertAll(StudioModel.Of));
        }

        /// <summary>Returns what a job of this body would take.</summary>
        public Task<StudioCost> PlanAsync(string body, CancellationToken cancel)
        {
            return AskAsync(HttpMethod.Post, "/plan", JsonContent(body), "", StudioCost.Of, cancel);
        }

        /// <summary>Sends an image.</summary>
        public async Task<StudioUpload> UploadAsync(string path, CancellationToken cancel)
        {
            using (var file = File.OpenRead(path))
            using (var form = new MultipartFormDataContent())
            {
                var part = new StreamContent(file);
                // Quoted, as browsers send it; the name on this machine is told to nobody.
                part.Headers.ContentDisposition = ContentDispositionHeaderValue.Parse("form-data; name=\"file\"; filename=\"image\"");
                part.Headers.ContentType = new MediaTypeHeaderValue("application/octet-stream");
                form.Add(part);
                return await AskAsync(HttpMethod.Post, "/uploads", form, "", StudioUpload.Of, cancel).ConfigureAwait(false);
            }
        }

        /// <summary>Submits a job. The same key and body again return the job that is there.</summary>
        public Task<StudioJob> SubmitAsync(string body, string key, CancellationToken cancel)
        {
            return AskAsync(HttpMethod.Post, "/jobs", JsonContent(body), key, StudioJob.Of, cancel);
        }

        /// <summary>Returns a job.</summary>
        public Task<StudioJob> JobAsync(string job, CancellationToken cancel)
        {
            return AskAsync(HttpMethod.Get, "/jobs/" + Ids.Checked(job), null, "", StudioJob.Of, cancel);
        }

        /// <summary>Cancels a job: at once while it waits, within one view while it is painted.</summary>
        public Task<StudioJob> CancelAsync(string job, CancellationToken cancel)
        {
            return AskAsync(HttpMethod.Post, "/jobs/" + Ids.Checked(job) + "/cancel", null, "", StudioJob.Of, cancel);
        }

        /// <summary>Returns panoramas whose titles hold some words, the most recently changed first.</summary>
        public Task<PanoramaPage> PanoramasAsync(string words, string cursor, int limit, CancellationToken cancel)
        {
            var path = "/panoramas?limit=" + limit + "&q=" + Uri.EscapeDataString(words);
            if (cursor != "") path += "&cursor=" + Uri.EscapeDataString(cursor);
            return AskAsync(HttpMethod.Get, path, null, "", PanoramaPage.Of, cancel);
        }

        /// <summary>Returns a version.</summary>
        public Task<StudioVersion> VersionAsync(string version, CancellationToken cancel)
        {
            return AskAsync(HttpMethod.Get, "/versions/" + Ids.Checked(version), null, "", StudioVersion.Of, cancel);
        }

        /// <summary>Returns a view that was painted, as JPEG.</summary>
        public Task<byte[]> ViewAsync(string job, long index, CancellationToken cancel)
        {
            return BytesAsync("/jobs/" + Ids.Checked(job) + "/views/" + index, MostPreview, cancel);
        }

        /// <summary>Returns the picture of a step of a job that draws seams anew ("base" or "seams"), as JPEG.</summary>
        public Task<byte[]> StepAsync(string job, string step, CancellationToken cancel)
        {
            return BytesAsync("/jobs/" + Ids.Checked(job) + "/steps/" + Uri.EscapeDataString(step), MostPreview, cancel);
        }

        /// <summary>Returns a file of a version.</summary>
        public Task<byte[]> FileAsync(string version, string name, CancellationToken cancel)
        {
            return BytesAsync(FilePath(version, name), MostFile, cancel);
        }

        /// <summary>Returns the light of a version as a Radiance file of at most 2048 rows.</summary>
        public Task<byte[]> LightAsync(string version, CancellationToken cancel)
        {
            return BytesAsync("/versions/" + Ids.Checked(version) + "/light", MostFile, cancel);
        }

        /// <summary>Writes a file of a version, and tells which share of it is there.</summary>
        public async Task DownloadAsync(string version, string name, string path, Action<double> told, CancellationToken cancel)
        {
            using (var answer = await connection.SendAsync(HttpMethod.Get, FilePath(version, name), null, "", cancel).ConfigureAwait(false))
            using (var file = File.Create(path))
                await connection.CopyAsync(answer, file, MostFile, told, cancel).ConfigureAwait(false);
        }

        /// <summary>Tells the events of a job after the one of a number, until the job has ended or the server ends the stream.</summary>
        public async Task FollowAsync(string job, long after, Func<StudioEvent, Task> told, CancellationToken cancel)
        {
            var path = "/jobs/" + Ids.Checked(job) + "/events?after=" + after;
            using (var answer = await connection.SendAsync(HttpMethod.Get, path, null, "", cancel).ConfigureAwait(false))
            using (var stream = await answer.Content.ReadAsStreamAsync().ConfigureAwait(false))
            {
                var reader = new EventReader();
                var buffer = new byte[8192];
                while (true)
                {
                    var count = await connection.ReadAsync(answer, stream, buffer, cancel).ConfigureAwait(false);
                    if (count == 0) return;
                    foreach (var one in Understood(() => reader.Take(buffer, count))) await told(one).ConfigureAwait(false);
                }
            }
        }

        private static string FilePath(string version, string name)
        {
            return "/versions/" + Ids.Checked(version) + "/files/" + Uri.EscapeDataString(name);
        }

        private static HttpContent JsonContent(string body)
        {
            return new StringContent(body, Encoding.UTF8, "application/json");
        }

        private async Task<byte[]> BytesAsync(string path, long most, CancellationToken cancel)
        {
            using (var answer = await connection.SendAsync(HttpMethod.Get, path, null, "", cancel).ConfigureAwait(false))
                return await connection.BytesAsync(answer, most, cancel).ConfigureAwait(false);
        }

        private async Task<string> TextAsync(HttpMethod method, string path, HttpContent content, string key, CancellationToken cancel)
        {
            using (var answer = await connection.SendAsync(method, path, content, key, cancel).ConfigureAwait(false))
                return Encoding.UTF8.GetString(await connection.BytesAsync(answer, MostJson, cancel).ConfigureAwait(false));
        }

        private async Task<T> AskAsync<T>(
            HttpMethod method, string path, HttpContent content, string key, Func<IDictionary<string, object>, T> read,
            CancellationToken cancel)
        {
            var text = await TextAsync(method, path, content, key, cancel).ConfigureAwait(false);
            return Understood(() => read(Json.ReadMap(text)));
        }

        private T Understood<T>(Func<T> read)
        {
            try
            {
                return read();
            }
            catch (FormatException error)
            {
                throw new StudioException(Address + " does not answer as a studio does: " + error.Message, 500);
            }
        }
    }
}

using System;
using System.Globalization;
using System.IO;
using System.Net;
using System.Net.Http;
using System.Net.Http.Headers;
using System.Text;
using System.Threading;
using System.Threading.Tasks;

namespace Aognet.Client
{
    /// <summary>Asks one server over HTTP. The token goes to that server alone: redirections are not followed.</summary>
    internal sealed class Connection : IDisposable
    {
        /// <summary>A server that says nothing for so long is away. It sends signs of life more often.</summary>
        private const int SilenceMilliseconds = 60000;
        private const int MostProblem = 64 * 1024;

        public readonly string Address;
        private readonly HttpClient http;
        private readonly string token;

        public Connection(string address, string token)
        {
            Address = CheckedAddress(address);
            this.token = CheckedToken(token);
            http = new HttpClient(new HttpClientHandler { AllowAutoRedirect = false, UseCookies = false })
            {
                Timeout = TimeSpan.FromMilliseconds(SilenceMilliseconds),
            };
            // .NET Framework opens two connections to a server; each job that is watched holds one.
            ServicePointManager.FindServicePoint(new Uri(Address)).ConnectionLimit = 32;
        }

        /// <summary>Whether a token would travel unencrypted to another machine.</summary>
        public bool TellsToken
        {
            get
            {
                var uri = new Uri(Address);
                return token != "" && uri.Scheme == "http" && !uri.IsLoopback;
            }
        }

        public void Dispose()
        {
            http.Dispose();
        }

        /// <summary>Returns a good answer, of which only the headers have been read. Throws StudioException.</summary>
        public async Task<HttpResponseMessage> SendAsync(
            HttpMethod method, string path, HttpContent content, string key, CancellationToken cancel)
        {
            using (var request = new HttpRequestMessage(method, Address + "/api/v1" + path))
            {
                request.Content = content;
                request.Headers.ExpectContinue = false;
                if (token != "") request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
                if (key != "") request.Headers.Add("Idempotency-Key", key);
                HttpResponseMessage answer;
                try
                {
                    answer = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancel).ConfigureAwait(false);
                }
                catch (Exception error) when (IsOfNetwork(error))
                {
                    cancel.ThrowIfCancellationRequested();
                    throw StudioException.Unreachable(Address, error);
                }
                if (answer.IsSuccessStatusCode) return answer;
                using (answer) throw await ProblemAsync(answer, cancel).ConfigureAwait(false);
            }
        }

        private async Task<StudioException> ProblemAsync(HttpResponseMessage answer, CancellationToken cancel)
        {
            var status = (int)answer.StatusCode;
            if (status < 400) return new StudioException("the server answers from another address: " + answer.Headers.Location, status);
            var body = await BytesAsync(answer, MostProblem, cancel).ConfigureAwait(false);
            var after = answer.Headers.RetryAfter;
            var seconds = after != null && after.Delta != null ? after.Delta.Value.TotalSeconds : 0;
            return StudioException.OfAnswer(status, Encoding.UTF8.GetString(body), Math.Min(seconds, 3600));
        }

        /// <summary>Returns the body of an answer of at most so many bytes.</summary>
        public async Task<byte[]> BytesAsync(HttpResponseMessage answer, long most, CancellationToken cancel)
        {
            using (var body = new MemoryStream())
            {
                await CopyAsync(answer, body, most, null, cancel).ConfigureAwait(false);
                return body.ToArray();
            }
        }

        /// <summary>Writes the body of an answer into a stream, and tells which share of it is there.</summary>
        public async Task CopyAsync(
            HttpResponseMessage answer, Stream target, long most, Action<double> told, CancellationToken cancel)
        {
            long expected = answer.Content.Headers.ContentLength ?? -1, done = 0;
            if (expected > most) throw TooLong(most);
            var buffer = new byte[81920];
            using (var stream = await answer.Content.ReadAsStreamAsync().ConfigureAwait(false))
            {
                while (true)
                {
                    var count = await ReadAsync(answer, stream, buffer, cancel).ConfigureAwait(false);
                    if (count == 0) break;
                    done += count;
                    if (done > most) throw TooLong(most);
                    target.Write(buffer, 0, count);
                    if (told != null && expected > 0) told(done / (double)expected);
                }
            }
            if (expected >= 0 && done < expected) throw new StudioException(Address + " ended an answer too early");
        }

        /// <summary>Reads what comes next; 0 at the end. Gives up on a server that is silent.</summary>
        public async Task<int> ReadAsync(HttpResponseMessage answer, Stream stream, byte[] buffer, CancellationToken cancel)
        {
            using (var patience = CancellationTokenSource.CreateLinkedTokenSource(cancel))
            {
                patience.CancelAfter(SilenceMilliseconds);
                // A read that has begun hears of no token in .NET Framework, but ends with its connection.
                using (patience.Token.Register(answer.Dispose))
                {
                    try
                    {
                        return await stream.ReadAsync(buffer, 0, buffer.Length, patience.Token).ConfigureAwait(false);
                    }
                    catch (Exception error) when (IsOfNetwork(error))
                    {
                        cancel.ThrowIfCancellationRequested();
                        throw StudioException.Unreachable(Address, error);
                    }
                }
            }
        }

        private static bool IsOfNetwork(Exception error)
        {
            return error is HttpRequestException || error is WebException || error is IOException
                || error is OperationCanceledException || error is ObjectDisposedException;
        }

        private static StudioException TooLong(long most)
        {
            return new StudioException(string.Format(CultureInfo.InvariantCulture, "an answer is longer than {0} bytes", most), 413);
        }

        private static string CheckedAddress(string address)
        {
            var isGood = Uri.TryCreate((address ?? "").Trim(), UriKind.Absolute, out var uri)
                && (uri.Scheme == "http" || uri.Scheme == "https") && uri.UserInfo == "" && uri.Query == "" && uri.Fragment == "";
            if (!isGood) throw new ArgumentException("the address of a studio is like http://127.0.0.1:7860, got '" + address + "'");
            return uri.AbsoluteUri.TrimEnd('/');
        }

        private static string CheckedToken(string token)
        {
            token = (token ?? "").Trim();
            foreach (var letter in token)
                if (letter <= ' ' || letter > '~') throw new ArgumentException("a token has letters, digits and signs alone");
            return token;
        }
    }
}

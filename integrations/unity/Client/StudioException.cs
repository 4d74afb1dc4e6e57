using System;
using System.Collections.Generic;

namespace Aognet.Client
{
    /// <summary>What a studio refused, or why it could not be reached, in one line.</summary>
    public sealed class StudioException : Exception
    {
        /// <summary>The HTTP status, or 0 if there was no answer.</summary>
        public readonly int Status;

        /// <summary>The field or setting that is wrong, or "".</summary>
        public readonly string Key;

        /// <summary>How long the studio asks to wait, in seconds, or 0.</summary>
        public readonly double RetrySeconds;

        public StudioException(string message, int status = 0, string key = "", double retrySeconds = 0)
            : base(message)
        {
            Status = status;
            Key = key;
            RetrySeconds = retrySeconds;
        }

        /// <summary>Whether the same request may succeed later: the studio is away or busy.</summary>
        public bool IsTransient
        {
            get { return Status == 0 || Status == 429 || (Status >= 502 && Status <= 504); }
        }

        /// <summary>Returns the error of an answer, which should be a problem (RFC 9457).</summary>
        internal static StudioException OfAnswer(int status, string text, double retrySeconds)
        {
            var problem = new Dictionary<string, object>();
            string detail, title, key;
            try
            {
                problem = Json.ReadMap(text);
                detail = problem.Text("detail");
                title = problem.Text("title");
                key = problem.Text("key");
            }
            catch (FormatException)
            {
                detail = title = key = ""; // not from a studio: a proxy's page, perhaps
            }
            var said = detail != "" ? detail : title != "" ? title : "the server answered with status " + status;
            return new StudioException(said, status, key, retrySeconds);
        }

        /// <summary>Returns the error of a server that gives no answer.</summary>
        internal static StudioException Unreachable(string address, Exception reason)
        {
            while (reason.InnerException != null) reason = reason.InnerException;
            return new StudioException(address + " cannot be reached: " + reason.Message);
        }
    }
}

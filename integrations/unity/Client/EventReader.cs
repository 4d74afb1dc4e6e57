using System;
using System.Collections.Generic;
using System.Globalization;
using System.Text;

namespace Aognet.Client
{
    /// <summary>Takes the bytes of a stream of server-sent events (HTML standard, section 9.2.6), and tells each event.</summary>
    public sealed class EventReader
    {
        /// <summary>So many bytes may an event have.</summary>
        public const int MaxBytes = 1 << 20;

        private readonly List<byte> line = new List<byte>();
        private readonly StringBuilder data = new StringBuilder();
        private string kind = "", id = "";
        private bool isAfterReturn;

        /// <summary>
        /// Takes the next bytes and returns the events that they complete. Throws FormatException for what is no event of a
        /// studio.
        /// </summary>
        public List<StudioEvent> Take(byte[] bytes, int count)
        {
            var found = new List<StudioEvent>();
            for (var index = 0; index < count; index++)
            {
                var one = bytes[index];
                // "\r", "\n" and "\r\n" end a line.
                if (one == '\r' || (one == '\n' && !isAfterReturn)) End(found);
                else if (one != '\n') line.Add(one);
                isAfterReturn = one == '\r';
                if (line.Count + data.Length > MaxBytes) throw new FormatException("an event is too long");
            }
            return found;
        }

        private void End(List<StudioEvent> found)
        {
            var text = Encoding.UTF8.GetString(line.ToArray());
            line.Clear();
            if (text == "")
            {
                if (data.Length > 0) found.Add(Event());
                data.Length = 0;
                kind = "";
                return;
            }
            var colon = text.IndexOf(':');
            if (colon == 0) return; // a comment keeps the connection alive
            var name = colon < 0 ? text : text.Substring(0, colon);
            var value = colon < 0 ? "" : text.Substring(colon + 1);
            if (value.StartsWith(" ", StringComparison.Ordinal)) value = value.Substring(1);
            if (name == "event") kind = value;
            else if (name == "id") id = value;
            else if (name == "data") data.Append(data.Length > 0 ? "\n" : "").Append(value);
        }

        private StudioEvent Event()
        {
            if (!long.TryParse(id, NumberStyles.None, CultureInfo.InvariantCulture, out var number))
                throw new FormatException("an event has no number");
            return new StudioEvent { Number = number, Kind = kind, Data = Json.ReadMap(data.ToString()) };
        }
    }
}

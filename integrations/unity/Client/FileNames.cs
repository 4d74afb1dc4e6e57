using System;
using System.IO;
using System.Text;

namespace Aognet.Client
{
    /// <summary>Names of files that every system takes, and that are not taken yet.</summary>
    public static class FileNames
    {
        private const int MaxLength = 60;
        private static readonly string[] Reserved = { "con", "prn", "aux", "nul", "com", "lpt" };

        /// <summary>Returns a title as the name of a file, without a suffix. It begins with no dot, so Unity sees it.</summary>
        public static string Safe(string title)
        {
            var name = new StringBuilder();
            foreach (var letter in title)
            {
                if (name.Length == MaxLength) break;
                var isGood = char.IsLetterOrDigit(letter) || letter == '-' || letter == '_';
                if (isGood) name.Append(letter);
                else if (name.Length > 0 && name[name.Length - 1] != ' ') name.Append(' ');
            }
            var text = name.ToString().Trim();
            var stem = text.ToLowerInvariant().TrimEnd('0', '1', '2', '3', '4', '5', '6', '7', '8', '9');
            if (text == "" || Array.IndexOf(Reserved, stem) >= 0) text = ("panorama " + text).Trim();
            return text;
        }

        /// <summary>Returns the path of a new file in a folder: "name.png", "name 2.png", ...</summary>
        public static string Free(string folder, string name, string suffix)
        {
            for (var number = 1; ; number++)
            {
                var path = Path.Combine(folder, number == 1 ? name + suffix : name + " " + number + suffix);
                if (!File.Exists(path) && !Directory.Exists(path)) return path;
            }
        }
    }
}
